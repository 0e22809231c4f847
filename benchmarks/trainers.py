"""Nightshift's own trainers started as a night would, for benchmarks: one process, one folder, one deadline."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from models.data import open_source
from models.dataset import DataSource
from nightshift.checkpoint import newest_whole
from nightshift.instant import wall_now
from nightshift.rundir import StageDir

SEED, NONCE = 11, "benchmark"


def inputs_of(source: DataSource, **earlier: Path) -> dict[str, str]:
    """Return what a trainer may read of a data set: never the test split; `earlier` are stages' folders."""
    inputs = {"train": str(source.splits["train"]), "val": str(source.splits["val"])}
    if source.images:
        inputs["images"] = str(source.images)
    return inputs | {f"stage.{name}": str(path) for name, path in earlier.items()}


def write_stage(folder: Path, inputs: Mapping[str, str], settings: Mapping[str, object]) -> StageDir:
    """Return the stage's folder with its inputs and settings in it."""
    stage = StageDir(folder)
    stage.out.mkdir(parents=True, exist_ok=True)
    stage.settings.write_text(json.dumps(settings))
    stage.inputs.write_text(json.dumps({**inputs, "settings": str(stage.settings)}))
    return stage


def start(
    module: str, folder: Path, inputs: Mapping[str, str], settings: Mapping[str, object], *,
    within_s: float | None = None, seed: int = SEED, seeds: tuple[int, ...] = (), processes: int = 1,
) -> subprocess.Popen[bytes]:  # fmt: skip
    """Return the started trainer, resuming from its newest whole checkpoint where there is one."""
    stage = write_stage(folder, inputs, settings)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NIGHT_")}
    environment |= {
        "NIGHT_RUN_DIR": str(folder),
        "NIGHT_INPUTS": str(stage.inputs),
        "NIGHT_SEED": str(seed),
        "NIGHT_SEEDS": ",".join(str(one) for one in seeds or (seed,)),
        "NIGHT_NONCE": NONCE,
    }
    if within_s is not None:
        environment["NIGHT_DEADLINE"] = (wall_now() + timedelta(seconds=within_s)).isoformat()
    if resume := newest_whole(stage.checkpoints):
        environment["NIGHT_RESUME"] = str(resume)
    launcher = ["-m", "nightshift.torchrun", "--processes", str(processes)] if processes > 1 else []
    with stage.output.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *launcher, "-m", module],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def finish(process: subprocess.Popen[bytes], folder: Path) -> StageDir:
    """Return the stage's folder after the trainer has ended.

    Raises SystemExit with its last output where it failed.
    """
    if process.wait() != 0:
        raise SystemExit(StageDir(folder).output.read_text()[-2000:])
    return StageDir(folder)


def data_at(where: str | None, cache: Path) -> DataSource:
    """Return the data set that a benchmark was asked to use, or the built-in catalogue."""
    return open_source(where, cache, 120)
