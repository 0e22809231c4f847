"""How many more trials do two workers finish than one, each with one thread, on one PostgreSQL?

`python -m benchmarks.shared_tuning [--seconds 40] [--rounds 3]`. Every round gives one worker and two workers the same
time on the same made-up feature files; a trial counts where the study says that it is complete. Needs Debian's package
`postgresql`, whose server it starts and ends itself.
"""

import argparse
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import optuna

from benchmarks.record import keep
from nightshift.instant import wall_now
from tests.flows.postgres import postgres
from tests.models.test_tune_ranker import environment

SETTINGS = {"trials": 100_000, "rounds": 150, "folds": 5, "patience": 100_000}
STARTS_S = 12.0
"""Seconds that a worker's imports may take before its time begins to count."""


def finished(workers: int, seconds: float, database: str, name: str) -> tuple[int, float]:
    """Return the trials that so many workers finish in this time, imports included, and the mean seconds of one."""
    with tempfile.TemporaryDirectory() as folder:
        deadline = (wall_now() + timedelta(seconds=seconds + STARTS_S)).isoformat()
        running = []
        for number in range(workers):
            told = environment(
                Path(folder) / str(number), SETTINGS, NIGHT_DEADLINE=deadline, NIGHT_STUDY=database,
                NIGHT_STUDY_NAME=name, OMP_NUM_THREADS="1", PYTHONPATH=str(Path(__file__).parents[1]),
            )  # fmt: skip
            running.append(subprocess.Popen([sys.executable, "-m", "models.tune_worker"], env=told))
        for worker in running:
            worker.wait()
    study = optuna.load_study(study_name=name, storage=database)
    trials = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    return len(trials), float(np.mean([trial.duration.total_seconds() for trial in trials if trial.duration]))


def main() -> None:
    """Tune, count, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    rows: list[dict[str, object]] = []
    with postgres() as where:
        database = f"postgresql+psycopg://{where}/nights"
        for number in range(asked.rounds):
            (one, one_s), (two, two_s) = (
                finished(n, asked.seconds, database, f"round{number}-{n}") for n in (1, 2)
            )
            rows.append(
                {
                    "round": number, "one": one, "two": two, "ratio": two / one,
                    "seconds_of_one_trial": one_s, "seconds_of_one_trial_beside_another": two_s,
                }
            )  # fmt: skip
            print(rows[-1], flush=True)
    ratio = float(np.mean([float(str(row["ratio"])) for row in rows]))
    dearer = [
        float(str(r["seconds_of_one_trial_beside_another"])) / float(str(r["seconds_of_one_trial"]))
        for r in rows
    ]
    keep(
        "shared_tuning",
        f"Trials of one and of two tuning workers in {asked.seconds:.0f} s, one thread each, on PostgreSQL",
        rows,
        f"two workers finish {ratio:.2f} times the trials of one; one trial takes "
        f"{np.mean(dearer):.2f} times as long (what is proposed differs, and so does what it costs)",
        ("optuna", "lightgbm", "psycopg"),
    )


if __name__ == "__main__":
    main()
