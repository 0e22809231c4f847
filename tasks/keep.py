"""A copy of the runs somewhere that outlives this machine (`python -m tasks.keep RUNS DRIVE`): a mounted Drive, a disk.

The night writes to the machine's own disk; this process copies what has changed. A Drive that fails costs copies, never
a step of training. A checkpoint's manifest goes last of its files; a run's ledger is read before its files are copied
and written after them, so that no line of it speaks of a file that is not there yet: what is there can be gone on from
at any moment. `restore` brings it back, `nightshift resume` goes on.
"""

import errno
import os
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nightshift.checkpoint import MANIFEST, STEP_FOLDER, remove_checkpoint, step_of
from nightshift.rundir import MEMBERS, RunDir
from tasks.launch import nightwatch_alive

EVERY_S = 30.0
IDLE_ROUNDS = 4
"""Rounds without any running night after which the keeper ends."""
LAST = ("handoff.json", "ledger.jsonl")
NEVER = (".cache", ".prefect", ".tuners", MEMBERS)
"""Folders that can be made anew, or are worth no copying every half minute."""


def keep_once(runs: Path, drive: Path) -> tuple[int, list[str]]:
    """Return how many files were copied, and why others could not be; forgotten checkpoints go there, too."""
    copied, troubles = 0, []
    torn: set[tuple[str, ...]] = set()
    # The hand-off before the ledger: whatever it rests on then stands in the ledger.
    records = [_read(path) for name in LAST for path in sorted(runs.glob(f"*/*/{name}"))]
    read = {path for path, _, _ in records}
    files = sorted((path for path in _files(runs) if path not in read), key=_order)
    for path in files:
        target = drive / path.relative_to(runs)
        try:
            if _differs(path, target):
                _copy(path, target)
                copied += 1
        except OSError as error:
            if path.exists():  # else it was forgotten meanwhile
                troubles.append(f"{target}: {error.strerror or error}")
                torn.add(path.relative_to(runs).parts[:2])
    for path, written, when in records:
        target = drive / path.relative_to(runs)
        if path.relative_to(runs).parts[:2] in torn:
            continue
        try:
            if not target.exists() or target.read_bytes() != written:
                _write(target, written, when)
                copied += 1
        except OSError as error:
            troubles.append(f"{target}: {error.strerror or error}")
    return copied, troubles + _forget(runs, drive)


def restore(drive: Path, runs: Path) -> tuple[int, list[str]]:
    """Return how many files were brought back from the copy, and why others could not be; what is here stays."""
    brought, troubles = 0, []

    def failed(error: OSError) -> None:
        if error.errno != errno.ENOENT:  # nothing was copied yet, or it went meanwhile
            troubles.append(f"{error.filename or drive}: {error.strerror or error}")

    for path in _files(drive, failed):
        target = runs / path.relative_to(drive)
        try:
            if not target.exists():
                _copy(path, target)
                brought += 1
        except OSError as error:
            troubles.append(f"{path}: {error.strerror or error}")
    return brought, troubles


def _files(root: Path, failed: Callable[[OSError], None] = lambda _error: None) -> Iterator[Path]:
    for folder, names, files in os.walk(root, onerror=failed):
        names[:] = [name for name in names if name not in NEVER]
        for name in files:
            path = Path(folder) / name
            if not name.endswith((".tmp", ".part")) and ".tmp/" not in str(path) and _is_plain(path, failed):
                yield path


def _is_plain(path: Path, failed: Callable[[OSError], None]) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError as error:
        failed(error)
        return False


def _order(path: Path) -> tuple[bool, str]:
    return path.name == MANIFEST, str(path)


def _read(path: Path) -> tuple[Path, bytes, float]:
    """Return a record as it is now, and when it was written."""
    return path, path.read_bytes(), path.stat().st_mtime


def _write(target: Path, written: bytes, when: float) -> None:
    with _aside(target) as part:
        part.write_bytes(written)
        os.utime(part, (when, when))


def _differs(path: Path, target: Path) -> bool:
    here = path.stat()
    try:
        there = target.stat()
    except FileNotFoundError:
        return True
    return here.st_size != there.st_size or abs(here.st_mtime - there.st_mtime) > 1


def _copy(path: Path, target: Path) -> None:
    with _aside(target) as part:
        shutil.copy2(path, part)


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """Give a file to fill, which then takes its place at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    yield part
    os.replace(part, target)


def _forget(runs: Path, drive: Path) -> list[str]:
    """Remove copies of checkpoints that are not here any more, and older than one that is whole here and there."""
    troubles = []
    for folder in runs.glob("*/*/stages/*/checkpoints"):
        copies = drive / folder.relative_to(runs)
        here = {path.name: path for path in folder.iterdir() if STEP_FOLDER.fullmatch(path.name)}
        try:
            there = {path.name: path for path in copies.iterdir() if STEP_FOLDER.fullmatch(path.name)}
            safe = max(
                (step_of(here[name]) for name in here.keys() & there if _same(here[name], there[name])),
                default=-1,
            )
            for name in there.keys() - here:
                if step_of(there[name]) < safe:
                    remove_checkpoint(there[name])
        except FileNotFoundError:
            continue
        except OSError as error:
            troubles.append(f"{copies}: {error.strerror or error}")
    return troubles


def _same(here: Path, there: Path) -> bool:
    """Return whether a whole checkpoint is on the Drive as it is here."""
    files = [path for path in here.rglob("*") if path.is_file()]
    return (here / MANIFEST).exists() and not any(_differs(p, there / p.relative_to(here)) for p in files)


def main(runs: Path, drive: Path) -> None:
    """Keep a copy until no night runs any more."""
    never, idle, told = threading.Event(), 0, ""
    while idle < IDLE_ROUNDS:
        alive = any(nightwatch_alive(RunDir(seal.parent)) for seal in runs.glob("*/*/seal.json"))
        idle = 0 if alive else idle + 1
        try:
            _, troubles = keep_once(runs, drive)
        except OSError as error:  # a file went while it was read, a mount died
            troubles = [f"{error.filename or drive}: {error.strerror or error}"]
        if troubles and troubles[0] != told:
            told = troubles[0]
            print(f"keep: {len(troubles)} files could not be copied: {told}", flush=True)
        never.wait(EVERY_S if alive else 1.0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
