"""Does kill -9 at any moment leave every other trainer able to go on, with no finished work lost?

`python -m benchmarks.kill_trainers [--kills 20] [--seed 1]`. Each of Nightshift's trainers (fusion training has
`kill_fusion`, tuning `kill_tuning` as well) is started, killed at a random moment and started again, 20 times, and
then left to end. Finished work is what its files list: checkpoints, trials, points of the pool test.
"""

import argparse
import os
import shutil
import signal
import tempfile
from pathlib import Path
from time import sleep

import numpy as np

from benchmarks.kill_tuning import finished_trials
from benchmarks.record import keep
from benchmarks.trainers import data_at, finish, inputs_of, start
from models.dataset import DataSource
from nightshift.checkpoint import newest_whole, step_of
from nightshift.instant import boottime_s
from nightshift.rundir import StageDir

LONGEST_S = 9.0
SMALL: dict[str, object] = {"epochs": 4, "one_seed": True, "image_network": False, "width": 128, "hidden": 64}
TRAINERS: dict[str, tuple[str, dict[str, object]]] = {
    "setup": ("models.prepare", {}),
    "fusion": ("models.train_fusion", SMALL),
    "evaluate": ("models.evaluate_fusion", {}),
    "train": ("models.train_ranker", {"rounds": 60, "folds": 3}),
    "tune": ("models.tune_ranker", {"trials": 6, "rounds": 60, "folds": 3}),
    "candidates": ("models.train_candidates", {"epochs": 6}),
    "pools": ("models.measure_pool", {"pools": [10000, 50000], "queries": 50}),
}
EARLIER = {"evaluate": {"train": "fusion"}, "tune": {"train": "train"}, "pools": {"candidates": "candidates"}}


def finished_points(folder: Path) -> int:
    """Return how many points of the pool test are on disk."""
    path = StageDir(folder).out / "pools.json"
    return path.read_text().count('"size"') if path.exists() else 0


def finished(folder: Path) -> tuple[int, int, int]:
    """Return (newest checkpoint's step, trials, pool points): none of them may ever go back."""
    newest = newest_whole(StageDir(folder).checkpoints)
    return step_of(newest) if newest else -1, finished_trials(folder), finished_points(folder)


def killed(
    name: str, source: DataSource, home: Path, kills: int, rng: np.random.Generator
) -> dict[str, object]:
    """Return what came of one trainer."""
    module, settings = TRAINERS[name]
    folder = home / name
    inputs = inputs_of(source, **{stage: home / other for stage, other in EARLIER.get(name, {}).items()})
    inputs |= {"cache": str(home / "cache")}
    had = lost = 0
    longest_s = LONGEST_S
    while had < kills:
        before = finished(folder)
        process = start(module, folder, inputs, settings)
        began_s = boottime_s()
        until_s = began_s + float(rng.uniform(0.02, max(0.1, longest_s)))
        while boottime_s() < until_s and process.poll() is None:
            sleep(0.005)
        if process.poll() is not None:
            longest_s = min(longest_s, boottime_s() - began_s)
            finish(process, folder)
            if had < kills:  # it was quicker than its killer: once more from the beginning
                shutil.rmtree(folder)
            continue
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        had += 1
        lost += any(after < then for after, then in zip(finished(folder), before, strict=True))
    finish(start(module, folder, inputs, settings), folder)
    step, trials, points = finished(folder)
    return {
        "trainer": module,
        "kills": had,
        "lost": lost,
        "last step": step,
        "trials": trials,
        "pool points": points,
    }


def main() -> None:
    """Kill, resume, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        source = data_at(None, home / "data")
        for trainer in TRAINERS:
            rows.append(killed(trainer, source, home, asked.kills, rng))
            print(rows[-1], flush=True)
    kills, lost = (sum(int(str(row[key])) for row in rows) for key in ("kills", "lost"))
    keep(
        "kill_trainers",
        f"Kill -9 of each trainer up to {asked.kills} times on built-in data, seed {asked.seed}",
        rows,
        f"{kills} kills of {len(rows)} trainers: all ended well afterwards, finished work lost {lost} times",
        ("lightgbm", "optuna", "torch", "faiss-cpu"),
    )
    if lost:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
