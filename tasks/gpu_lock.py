"""One night per GPU: locks that die with their holder."""

import fcntl
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.gpu import Gpu


@dataclass
class GpuLock:
    """A held lock; closing the file or dying releases it."""

    path: Path
    descriptor: int

    def release(self) -> None:
        """Give the GPU back."""
        os.close(self.descriptor)


def lock_paths(gpus: Sequence[Gpu], home: Path) -> list[Path]:
    """Return the lock files: one per GPU of this machine, or one per run home where there is no GPU."""
    if not gpus:
        return [home / ".night-without-gpu.lock"]
    return [Path(tempfile.gettempdir()) / f"nightshift-{gpu.uuid}.lock" for gpu in gpus]


def acquire_all(paths: Sequence[Path], run: RunDir) -> list[GpuLock]:
    """Return the locks, held for this run: all of them, or none.

    Raises NightError naming the run that holds one.
    """
    held: list[GpuLock] = []
    try:
        for path in paths:
            held.append(acquire(path, run))
    except NightError:
        for lock in held:
            lock.release()
        raise
    return held


def acquire(path: Path, run: RunDir) -> GpuLock:
    """Return the lock, held for this run.

    Raises NightError naming the run that holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 4096, 0).decode(errors="replace").strip() or "another process"
        os.close(descriptor)
        raise NightError(
            f"another night is running here ({holder}); wait for its hand-over or run `nightshift stop`"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{run.path}\n".encode(), 0)
    return GpuLock(path, descriptor)
