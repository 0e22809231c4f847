"""Does fusion training resume bit-equal after kill -9 at any moment, saves included?

`python -m benchmarks.kill_fusion [--kills 200] [--seed 1]`. Trainings are forked from a process that has torch
loaded (a start would take longer than the training), killed at random moments and resumed until they end. Then
each is repeated without any kill, told at every step what the cut one was told (`models.share_log`), and the last
weights and optimiser states are compared byte by byte. After every kill the newest whole checkpoint is loaded.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import sleep

import numpy as np

from benchmarks.record import keep
from benchmarks.trainers import NONCE, SEED, inputs_of, write_stage
from models import train_fusion
from models.data import open_source
from models.dataset import DataSource
from models.fusion_sum import load_network
from nightshift.checkpoint import MANIFEST, newest_whole, read_state, sha256_of, step_of
from nightshift.instant import boottime_s, wall_now
from nightshift.rundir import StageDir

SETTINGS = {
    "epochs": 6, "evaluate_every": 1, "designs": ["fusion"], "one_seed": True, "image_network": False,
    "width": 128, "heads": 8, "hidden": 64,
}  # fmt: skip
BUDGET_S = 45.0
"""Its schedule's time: the clock, not the epochs, moves the learning rate while it is killed again and again."""
LONGEST_S = 4.0
WEIGHTS = ("fusion.safetensors", "optimizer.safetensors")


def without_pictures(source: DataSource, folder: Path) -> DataSource:
    """Return the data set without its pictures: reading them would take longer than the training."""
    folder.mkdir()
    splits = {}
    for name, path in source.splits.items():
        records = [json.loads(line) for line in path.read_text().splitlines()]
        for record in records:
            record["candidates"] = [item | {"image": None} for item in record["candidates"]]
        splits[name] = folder / path.name
        splits[name].write_text("".join(json.dumps(record) + "\n" for record in records))
    return replace(source, splits=splits, images=None)


def forked(folder: Path, environment: Mapping[str, str]) -> int:
    """Return the pid of a trainer forked from this process, leader of its own session."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        log = os.open(StageDir(folder).output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(environment)
        sys.argv = ["train_fusion"]
        code = train_fusion.main()
    finally:
        os._exit(code)  # not even a raised error may go on in a copy of the benchmark


def environment_of(folder: Path, deadline: str, **more: str) -> dict[str, str]:
    """Return the contract's variables for one attempt."""
    stage = StageDir(folder)
    variables = {
        "NIGHT_RUN_DIR": str(folder), "NIGHT_INPUTS": str(stage.inputs), "NIGHT_SEED": str(SEED),
        "NIGHT_NONCE": NONCE, "NIGHT_DEADLINE": deadline,
    }  # fmt: skip
    resume = newest_whole(stage.checkpoints)
    return variables | ({"NIGHT_RESUME": str(resume)} if resume else {}) | more


def wait(pid: int, seconds: float, folder: Path | None = None) -> int | None:
    """Return the exit code within this time, or None where it still runs (or, given its folder, begins to save)."""
    until_s = boottime_s() + seconds
    while boottime_s() < until_s and not (folder and saving(folder)):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        sleep(0.002)
    return None


def saving(folder: Path) -> bool:
    """Return whether a checkpoint is being filled at this moment."""
    return any(StageDir(folder).checkpoints.glob(".step-*.tmp"))


def killed_training(folder: Path, kills: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """Return (kills had, of them within a save, loads that failed) of one training driven to its end."""
    now = wall_now()
    deadline = (now + timedelta(seconds=BUDGET_S)).isoformat()
    control = f'{{"start": "{now.isoformat()}", "deadline": "{deadline}"}}'
    StageDir(folder).control.write_text(control)
    had = within = corrupt = 0
    while True:
        pid = forked(folder, environment_of(folder, deadline))
        limit_s = float(rng.uniform(0.05, LONGEST_S)) if had < kills else 600.0
        aimed = had < kills and had % 3 == 2  # every third waits for a save and hits it
        code = wait(pid, 2 * LONGEST_S if aimed else limit_s, folder if aimed else None)
        if code is not None:
            if code != 0:
                raise SystemExit(StageDir(folder).output.read_text()[-2000:])
            return had, within, corrupt
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        had += 1
        within += saving(folder)
        for left in StageDir(folder).checkpoints.glob(".step-*.tmp"):
            shutil.rmtree(left)  # the next save would do so; here it must not be taken for one
        corrupt += not loads(folder)


def loads(folder: Path) -> bool:
    """Return whether what the next attempt would resume from can be loaded; nothing is fine, too.

    A copy of this process tries: one that had used torch itself could not be forked from any more.
    """
    newest = newest_whole(StageDir(folder).checkpoints)
    if newest is None:
        return True
    pid = os.fork()
    if not pid:
        try:
            load_network(newest)
        finally:
            os._exit(sys.exc_info()[0] is not None)
    return wait(pid, 60.0) == 0


def replayed(folder: Path, again: Path) -> Path:
    """Return the newest checkpoint of the same training, without any kill, told what the cut one was told."""
    last = newest_whole(StageDir(folder).checkpoints)
    far = (wall_now() + timedelta(days=1)).isoformat()
    pid = forked(again, environment_of(again, far, NIGHT_REPLAY=str(last)))
    if wait(pid, 600.0) != 0:
        raise SystemExit(StageDir(again).output.read_text()[-2000:])
    checkpoints = StageDir(again).checkpoints.glob("step-*")
    return next(path for path in checkpoints if last and step_of(path) == step_of(last))


def one_row(source: DataSource, folder: Path, kills: int, rng: np.random.Generator) -> dict[str, object]:
    """Return what came of one training."""
    cut, whole = folder / "cut", folder / "whole"
    for stage in (cut, whole):
        inputs = inputs_of(source) | {"cache": str(folder.parent / "cache")}
        write_stage(stage, inputs, SETTINGS)
    had, within, corrupt = killed_training(cut, kills, rng)
    last = newest_whole(StageDir(cut).checkpoints)
    if last is None:
        raise SystemExit(f"{cut}: left no whole checkpoint")
    twin = replayed(cut, whole)
    equal = all(sha256_of(last / name) == sha256_of(twin / name) for name in WEIGHTS)
    return {
        "kills": had, "within a save": within, "corrupt loads": corrupt,
        "steps": read_state(last)["step"], "bit-equal": equal, "manifest": sha256_of(last / MANIFEST)[:12],
    }  # fmt: skip


def main() -> None:
    """Kill, resume, replay, compare, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        source = without_pictures(open_source(None, Path(name) / "data", 60), Path(name) / "texts")
        while (had := sum(int(str(row["kills"])) for row in rows)) < asked.kills:
            most = min(asked.kills - had, int(rng.integers(8, 16)))
            rows.append(one_row(source, Path(name) / str(len(rows)), most, rng))
            print(rows[-1], flush=True)
    kills = sum(int(str(row["kills"])) for row in rows)
    within = sum(int(str(row["within a save"])) for row in rows)
    corrupt = sum(int(str(row["corrupt loads"])) for row in rows)
    equal = sum(bool(row["bit-equal"]) for row in rows)
    keep(
        "kill_fusion",
        f"{kills} times kill -9 of fusion training (60 queries, width 128), seed {asked.seed}",
        rows,
        f"{kills} kills, {within} of them within a save: all resumed, {corrupt} corrupt loads; "
        f"{equal} of {len(rows)} trainings bit-equal to the replayed uninterrupted one",
        ("torch", "safetensors"),
    )
    if corrupt or equal < len(rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
