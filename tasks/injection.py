"""Faults given to a rehearsal, at the process boundary: `crash@01:10,oom@02:00,reboot@01:45`.

| fault | what really happens |
|---|---|
| crash | SIGKILL to the trainer |
| oom, nan, hang | the trainer takes it from inside where it next says that it lives (`nightshift.faults`) |
| diskfull | the kernel refuses the trainer's large files for 20 s (RLIMIT_FSIZE) |
| serverdown | SIGKILL to the Prefect server |
| killflow, killwatch | SIGKILL to the flow's process, to the nightwatch |
| reboot | SIGKILL to all of the night's processes at once; `nightshift resume` 3 s later, as at boot |
"""

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from nightshift.checkpoint import write_atomically
from nightshift.instant import boottime_s
from nightshift.rundir import RunDir, StageDir
from nightshift.states import NightError
from schedules.plan import WALL_TIME
from schedules.timetable import Timetable
from schedules.window import instant_of, on_or_after
from tasks.launch import nightwatch_alive
from tasks.process_identity import ProcessIdentity
from tasks.stage_standing import read_memory
from verdict.seal import Seal, read_seal

INSIDE = ("oom", "nan", "hang")
NAMES = ("crash", *INSIDE, "diskfull", "serverdown", "killflow", "killwatch", "reboot")
FULL_FOR_S, OFF_FOR_S = 20.0, 3.0
ROOM_BYTES = 64 << 10
"""What a trainer may still write to one file when its disk is "full": its events, not its weights."""


@dataclass(frozen=True)
class PlannedFault:
    """One fault and the night's instant (UTC) at which it is due."""

    name: str
    wall: str
    at: datetime


def parse_faults(text: str, table: Timetable) -> list[PlannedFault]:
    """Return the faults that a text like `crash@01:10,oom@02:00` names, in order of time.

    Raises NightError naming what is wrong with it.
    """
    faults = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, wall = part.partition("@")
        match = WALL_TIME.fullmatch(wall)
        if name not in NAMES or not match:
            raise NightError(f"--faults {part!r}: write NAME@HH:MM, with a name of {', '.join(NAMES)}")
        at_wall = datetime(2000, 1, 1, int(match[1]), int(match[2])).time()  # noqa: DTZ001 - a wall time
        start = table.window.start.astimezone(ZoneInfo(table.zone.key)).time()
        at = instant_of(on_or_after(start, at_wall, table.day), at_wall, table.zone)
        if not table.window.start <= at < table.window.hand_over:
            raise NightError(f"--faults {part!r}: the night is from {start:%H:%M} to its hand-over")
        faults.append(PlannedFault(name, wall, at))
    return sorted(faults, key=lambda fault: fault.at)


class Injector:
    """Has the faults of one rehearsal, each once, when it is due and there is somebody to have it."""

    def __init__(self, faults: list[PlannedFault], server_pid: int | None) -> None:
        self.waiting, self.server_pid = list(faults), server_pid
        self.had: list[PlannedFault] = []
        self.full: tuple[int, float] | None = None
        self.off_s: float | None = None
        """Boot-time second at which a reboot began; None once the night lives again."""
        self.booted = False

    def have_due(self, run: RunDir, flow_pid: int) -> None:
        """Look at the night's clock and do what is due."""
        if not run.seal.exists():
            return
        seal = read_seal(run)
        self._end_full()
        if self.off_s is not None:
            self._boot(run)
            return
        while self.waiting and seal.make_clock().now() >= self.waiting[0].at:
            if not self._have(self.waiting[0], run, seal, flow_pid):
                return
            self.had.append(self.waiting.pop(0))
            record = [{"fault": fault.name, "at": fault.at.isoformat()} for fault in self.had]
            write_atomically(run.injected, json.dumps(record, indent=1))

    def _have(self, fault: PlannedFault, run: RunDir, seal: Seal, flow_pid: int) -> bool:
        """Return whether the fault was had; False where there is nobody yet."""
        if fault.name == "serverdown":
            return _kill(self.server_pid)
        if fault.name == "killflow":
            return _kill(flow_pid)
        watch = ProcessIdentity.read(run.nightwatch_identity)
        if fault.name == "killwatch":
            return _kill(watch.pid if watch and watch.alive() else None)
        found = _trainer(run, seal)
        if found is None:
            return False
        folder, trainer = found
        if folder.fault.exists():
            return False  # the one before has not been taken yet
        if fault.name == "reboot":
            for pid in (flow_pid, watch.pid if watch else None):
                _kill(pid)
            os.killpg(trainer.pid, signal.SIGKILL)
            self.off_s = boottime_s()
        elif fault.name == "crash":
            _kill(trainer.pid)
        elif fault.name == "diskfull":
            self._fill(folder, trainer)
        else:
            write_atomically(folder.fault, fault.name)
        return True

    def _fill(self, folder: StageDir, trainer: ProcessIdentity) -> None:
        room = folder.events.stat().st_size + ROOM_BYTES
        _, hard = resource.prlimit(trainer.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(trainer.pid, resource.RLIMIT_FSIZE, (room, hard))
        self.full = trainer.pid, boottime_s()

    def _end_full(self) -> None:
        if self.full is None or boottime_s() - self.full[1] < FULL_FOR_S:
            return
        try:
            _, hard = resource.prlimit(self.full[0], resource.RLIMIT_FSIZE)
            resource.prlimit(self.full[0], resource.RLIMIT_FSIZE, (hard, hard))
        except OSError:
            pass  # the trainer is gone
        self.full = None

    def _boot(self, run: RunDir) -> None:
        """Do what the boot unit does, once the machine is on again."""
        if self.booted:
            if nightwatch_alive(run):
                self.off_s, self.booted = None, False
            return
        if self.off_s is None or boottime_s() - self.off_s < OFF_FOR_S:
            return
        self.booted = True
        command = [sys.executable, "-m", "flows.cli.app", "resume", "--run", str(run.path)]
        with run.nightwatch_log.open("ab") as log:
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )


def _kill(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _trainer(run: RunDir, seal: Seal) -> tuple[StageDir, ProcessIdentity] | None:
    """Return the stage folder and process of the trainer that runs and has begun to speak, or None."""
    for stage in seal.night.stages:
        folder = run.stage(stage.name)
        trainer = read_memory(folder).running
        if trainer and trainer.alive() and folder.events.exists():
            return folder, trainer
    return None
