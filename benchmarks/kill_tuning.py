"""Does kill -9 of tuning, at any moment after the default model is saved, leave a loadable best model?

`python -m benchmarks.kill_tuning [--data DATA] [--kills 20] [--seed 1]`. One tuning stage is killed again and
again at random moments and resumed. After every kill the best checkpoint is loaded, validation is scored
again with it, and must give exactly the score that the checkpoint states; no finished trial may be missing.
"""

import argparse
import os
import signal
import tempfile
from pathlib import Path
from time import sleep

import numpy as np

from benchmarks.record import keep
from benchmarks.trainers import data_at, inputs_of, start
from models.data import load_letor, load_split
from models.dataset import DataSource
from models.metrics import mean_ndcg
from models.scorers import load_scorer
from models.stage_best import best_checkpoint
from nightshift.checkpoint import read_state, whole_checkpoints
from nightshift.instant import boottime_s
from nightshift.rundir import StageDir

LONGEST_S, SETTINGS = 8.0, {"trials": 4000, "patience": 4000, "rounds": 60}


def finished_trials(folder: Path) -> int:
    """Return how many whole lines of finished trials are on disk."""
    lines = StageDir(folder).out / "trials.jsonl"
    return max(0, lines.read_text().count("\n") - 1) if lines.exists() else 0


def validation(source: DataSource, checkpoint: Path) -> float:
    """Return the validation nDCG@10 of a checkpoint, scored again from raw inputs."""
    path, scorer = source.splits["val"], load_scorer(checkpoint)
    queries = load_letor(path) if path.suffix != ".jsonl" else load_split(path, source.images)
    labels = [q.relevance() if callable(q.relevance) else q.relevance for q in queries]
    return mean_ndcg(scorer.score_many(scorer.encode(queries)), labels)


def kill_once(source: DataSource, folder: Path, after_s: float) -> dict[str, object]:
    """Return what one kill left behind."""
    before = finished_trials(folder)
    process = start("models.tune_ranker", folder, inputs_of(source), SETTINGS)
    while process.poll() is None and not whole_checkpoints(StageDir(folder).checkpoints):
        sleep(0.02)
    until_s = boottime_s() + after_s
    while boottime_s() < until_s and process.poll() is None:
        sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    after = finished_trials(folder)
    best = best_checkpoint(folder)
    stated = float(str(read_state(best)["selection_score"]))
    return {
        "killed after s": after_s,
        "trials kept": after,
        "lost": max(0, before - after),
        "best": best.name,
        "stated": stated,
        "scored again": validation(source, best),
    }


def main() -> None:
    """Kill, load, compare, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    moments = np.random.default_rng(asked.seed).uniform(0, LONGEST_S, asked.kills)
    with tempfile.TemporaryDirectory() as name:
        source = data_at(asked.data, Path(name) / "data")
        rows = [kill_once(source, Path(name) / "tune", float(moment)) for moment in moments]
    sound = sum(row["lost"] == 0 and abs(row["stated"] - row["scored again"]) < 1e-9 for row in rows)
    keep(
        "kill_tuning",
        f"{asked.kills} times kill -9 of one tuning stage on {source.name}, seed {asked.seed}",
        rows,
        f"{sound} of {asked.kills} left a loadable best model with exactly its stated score, no finished trial lost",
        ("lightgbm", "optuna"),
    )
    if sound < asked.kills:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
