"""A copy of the runs somewhere that outlives this machine (`python -m tasks.keep RUNS DRIVE`): a mounted Drive, a disk.

The night writes to the machine's own disk; this process copies what has changed. A Drive that fails costs copies, never
a step of training. A checkpoint's manifest goes last of its files and the ledger last of its run, so that what is there
can be gone on from at any moment: `restore` brings it back, `nightshift resume` goes on.
"""

import os
import shutil
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from nightshift.checkpoint import MANIFEST, STEP_FOLDER, remove_checkpoint, step_of
from nightshift.rundir import RunDir
from tasks.launch import nightwatch_alive

EVERY_S = 30.0
IDLE_ROUNDS = 4
"""Rounds without any running night after which the keeper ends."""
LAST = ("ledger.jsonl", "handoff.json")
NEVER = (".cache", ".prefect")
"""Folders of the home that can be made anew."""


def keep_once(runs: Path, drive: Path) -> tuple[int, list[str]]:
    """Return how many files were copied, and why others could not be; forgotten checkpoints go there, too."""
    copied, troubles = 0, []
    files = sorted(_files(runs), key=_order)
    for path in files:
        target = drive / path.relative_to(runs)
        try:
            if _differs(path, target):
                _copy(path, target)
                copied += 1
        except OSError as error:
            troubles.append(f"{target}: {error.strerror or error}")
    return copied, troubles + _forget(runs, drive)


def restore(drive: Path, runs: Path) -> int:
    """Return how many files were brought back from the copy; what is here already stays as it is."""
    brought = 0
    for path in _files(drive) if drive.is_dir() else ():
        target = runs / path.relative_to(drive)
        if not target.exists():
            _copy(path, target)
            brought += 1
    return brought


def _files(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in NEVER]
        for name in files:
            path = Path(folder) / name
            if not name.endswith((".tmp", ".part")) and ".tmp/" not in str(path) and _is_plain(path):
                yield path


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _order(path: Path) -> tuple[bool, bool, str]:
    return path.name in LAST, path.name == MANIFEST, str(path)


def _differs(path: Path, target: Path) -> bool:
    here = path.stat()
    try:
        there = target.stat()
    except FileNotFoundError:
        return True
    return here.st_size != there.st_size or abs(here.st_mtime - there.st_mtime) > 1


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.part")
    shutil.copy2(path, aside)
    os.replace(aside, target)


def _forget(runs: Path, drive: Path) -> list[str]:
    """Remove copies of checkpoints that the night has forgotten: older than the newest one here, and not here."""
    troubles = []
    for folder in runs.glob("*/*/stages/*/checkpoints"):
        here = [path for path in folder.iterdir() if STEP_FOLDER.fullmatch(path.name)]
        newest = max(map(step_of, here), default=-1)
        for name in _old_copies(drive / folder.relative_to(runs), newest) - {path.name for path in here}:
            try:
                remove_checkpoint(drive / folder.relative_to(runs) / name)
            except OSError as error:
                troubles.append(f"{name}: {error.strerror or error}")
    return troubles


def _old_copies(copies: Path, newest: int) -> set[str]:
    """Return the names of the copied checkpoints that are older than this step."""
    found = copies.iterdir() if copies.is_dir() else ()
    return {path.name for path in found if STEP_FOLDER.fullmatch(path.name) and step_of(path) < newest}


def main(runs: Path, drive: Path) -> None:
    """Keep a copy until no night runs any more."""
    never, idle, told = threading.Event(), 0, ""
    while idle < IDLE_ROUNDS:
        alive = any(nightwatch_alive(RunDir(seal.parent)) for seal in runs.glob("*/*/seal.json"))
        idle = 0 if alive else idle + 1
        _, troubles = keep_once(runs, drive)
        if troubles and troubles[0] != told:
            told = troubles[0]
            print(f"keep: {len(troubles)} files could not be copied: {told}", flush=True)
        never.wait(EVERY_S if alive else 1.0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
