"""Trainers that outlived their night: found, named and ended before another night takes the GPU."""

import os
import signal
import threading
from pathlib import Path

from nightshift.rundir import RunDir
from tasks.process_identity import ProcessIdentity
from tasks.stage_standing import read_memory

GRACE_S = 5.0


def orphans(home: Path, mine: RunDir) -> list[tuple[str, ProcessIdentity]]:
    """Return (night and stage, process) of every living trainer in this home whose nightwatch is dead."""
    found = []
    for path in sorted(home.glob("*/*/stages/*/standing.json")):
        run = RunDir(path.parents[2])
        if run.path == mine.path:
            continue
        watch = ProcessIdentity.read(run.nightwatch_identity)
        trainer = read_memory(run.stage(path.parent.name)).running
        if trainer and trainer.alive() and not (watch and watch.alive()):
            found.append((f"{run.path.parent.name}/{run.path.name}, {path.parent.name}", trainer))
    return found


def end_orphans(home: Path, mine: RunDir) -> list[str]:
    """End them, SIGTERM first; return a name for each."""
    found = orphans(home, mine)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for _, trainer in found:
            if trainer.alive():
                os.killpg(trainer.pid, number)
        _wait_gone([trainer for _, trainer in found])
    return [f"{name} (pid {trainer.pid})" for name, trainer in found]


def _wait_gone(trainers: list[ProcessIdentity]) -> None:
    pause = threading.Event()
    for _ in range(int(GRACE_S / 0.1)):
        if not any(trainer.alive() for trainer in trainers):
            return
        pause.wait(0.1)
