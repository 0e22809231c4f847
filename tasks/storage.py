"""Disk space of a night: ballast for its own records, a forecast, checkpoints fetched from the second sink."""

import os
import shutil
from pathlib import Path

from nightshift.checkpoint import damage, remove_checkpoint, step_of, whole_checkpoints
from nightshift.rundir import RunDir, StageDir

BALLAST_BYTES = 32 << 20
LOW_BYTES = 8 << 20
"""Below this the ballast is given up: events, ledger and report must still be written."""
TIMES = 2.2
"""Free space wanted for the next checkpoint, in sizes of the latest."""


def hold_ballast(run: RunDir) -> None:
    """Reserve disk space for the night's own records; without room there is none to reserve."""
    if run.ballast.exists():
        return
    try:
        with run.ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
    except OSError:
        run.ballast.unlink(missing_ok=True)


def drop_ballast(run: RunDir) -> bool:
    """Return whether there was ballast to give up."""
    try:
        run.ballast.unlink()
    except OSError:
        return False
    return True


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that holds this folder."""
    return shutil.disk_usage(folder).free


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in this folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def short_of_space(run: RunDir, stage: StageDir) -> str:
    """Return why the next checkpoint is not likely to fit, or an empty text."""
    newest = max(stage.checkpoints.glob("step-*"), key=step_of, default=None)
    if newest is None:
        return ""
    needed, free = TIMES * folder_bytes(newest), free_bytes(run.path)
    if free >= needed:
        return ""
    return f"{free / 1e6:.0f} MB of disk are free, the next checkpoint wants {needed / 1e6:.0f} MB"


def fetch_from_sink(sink: Path, stage: StageDir) -> list[Path]:
    """Return the checkpoints that were moved from the second sink to where they belong.

    What its own folder still cannot take stays in the sink; a damaged one is passed over.
    """
    fetched = []
    for path in whole_checkpoints(sink):
        target = stage.checkpoints / path.name
        aside = stage.checkpoints / f".{path.name}.fetched"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            if not target.exists():
                shutil.copytree(path, aside)
                if damage(aside) is not None:
                    raise OSError(f"{aside}: not whole after it was copied")
                aside.rename(target)
                fetched.append(target)
            remove_checkpoint(path)
        except OSError:
            shutil.rmtree(aside, ignore_errors=True)
    return fetched
