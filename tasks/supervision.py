"""What to do with a trainer that crashes, hangs, diverges or runs out of time: decisions alone.

No process, no file, no clock: the nightwatch and the simulation carry out what is decided here, and say
what came of it. All seconds are real ones, on one clock that also runs while the machine sleeps.
"""

from dataclasses import dataclass
from enum import StrEnum
from signal import Signals

from nightshift.events import Event
from nightshift.states import Ending, TrainerExit
from nightshift.trainer import DEADLINE, STOP_ASKED
from tasks.pace import Pace

RESTARTS_WITHOUT_PROGRESS = 3
DUMP_S = 1.0
"""Between asking a hung trainer for its stacks and asking it to end."""
FIRST_MICROBATCH = 16


class Fault(StrEnum):
    """What went wrong with one process of a stage."""

    CRASH = "crash"
    OUT_OF_MEMORY = "out of memory"
    NOT_FINITE = "not finite"
    HANG = "hang"


GIVEN_UP = {
    Fault.CRASH: Ending.CRASHED,
    Fault.OUT_OF_MEMORY: Ending.OUT_OF_MEMORY,
    Fault.NOT_FINITE: Ending.DIVERGED,
    Fault.HANG: Ending.STALLED,
}


@dataclass
class Standing:
    """What a stage has been through; kept on disk, so that a revived nightwatch goes on from it."""

    restarts: int = 0
    without_progress: int = 0
    """Restarts since a checkpoint was last newer than the one before."""
    saved_step: int = -1
    saved_at_fault: int = -1
    microbatch: int | None = None
    lr_factor: float = 1.0
    not_finite: int = 0
    below_step: int | None = None
    """Checkpoints from this step on are not gone on from: numbers were no longer finite there."""


class Supervision:
    """One stage's trainer, watched over its restarts."""

    def __init__(self, standing: Standing, grace_s: float) -> None:
        self.standing, self.grace_s = standing, grace_s
        self.pace = Pace()
        self.begin(0.0)

    def begin(self, now_s: float) -> None:
        """Take note that a process was started."""
        self.pace.begin(now_s)
        self.reason = ""
        self.fault: Fault | None = None
        self.over = False
        self.dumped_s: float | None = None
        self.term_s: float | None = None
        self.killed = False
        self.not_finite_step: int | None = None

    def hear(self, event: Event, said_s: float, now_s: float) -> None:
        """Take note of what the trainer said."""
        self.pace.hear(event, said_s, now_s)
        if event.kind == "started":
            # A revived nightwatch hears all attempts: what the one before has said is over.
            self.reason, self.not_finite_step = "", None
        elif event.kind == "checkpoint":
            self.saved(event.step)
        elif event.kind == "finished":
            self.reason = event.reason
        elif event.kind == "metrics" and any("loss" in name for name in event.nonfinite):
            self.not_finite_step = event.step if self.not_finite_step is None else self.not_finite_step

    def saved(self, step: int) -> None:
        """Take note of a whole checkpoint."""
        if step > self.standing.saved_step:
            self.standing.saved_step = step
            if self.standing.below_step is not None and step >= self.standing.below_step:
                self.standing.below_step = None  # the window of bad numbers is behind

    def due(self, now_s: float, over: bool) -> Signals | None:
        """Return the signal to send now, if any; `over`: its time is over, or a person wants the machine back.

        A hang: stacks (SIGUSR1), SIGTERM, SIGKILL after the grace. Numbers that are not finite: SIGKILL,
        for there is nothing to save.
        """
        if over and not self.over:
            self.over = True
            if self.term_s is None:
                self.term_s = now_s
                return Signals.SIGTERM
        if self.term_s is not None:
            return self._kill() if now_s >= self.term_s + self.grace_s else None
        if self.not_finite_step is not None:
            self.fault = Fault.NOT_FINITE
            return self._kill()
        if self.dumped_s is not None:
            if now_s < self.dumped_s + DUMP_S:
                return None
            self.term_s = now_s
            return Signals.SIGTERM
        if now_s >= self.pace.hung_from_s():
            self.fault, self.dumped_s = Fault.HANG, now_s
            return Signals.SIGUSR1
        return None

    def _kill(self) -> Signals | None:
        if self.killed:
            return None
        self.killed = True
        return Signals.SIGKILL

    def next_look_s(self) -> float:
        """Return the second at which `due` must be asked again where nothing is heard before."""
        if self.killed:
            return float("inf")
        if self.term_s is not None:
            return self.term_s + self.grace_s
        if self.dumped_s is not None:
            return self.dumped_s + DUMP_S
        return self.pace.hung_from_s()

    def ended(self, code: int | None, stop_asked: bool) -> Ending | None:
        """Return the stage's ending after its process ended, or None where it should be started again.

        `code` is None for an adopted process, whose exit code nobody can know.
        """
        well = code == TrainerExit.FINISHED or (code is None and bool(self.reason))
        if stop_asked:
            return Ending.CANCELLED
        if self.over or (well and self.reason == DEADLINE):
            return Ending.STOPPED_AT_DEADLINE
        if well and self.fault is None:
            return Ending.CANCELLED if self.reason == STOP_ASKED else Ending.FINISHED
        return self._failed(self.fault or _fault_of(code))

    def _failed(self, fault: Fault) -> Ending | None:
        standing = self.standing
        self.fault = fault
        standing.restarts += 1
        progressed = standing.saved_step > standing.saved_at_fault
        standing.saved_at_fault = standing.saved_step
        standing.without_progress = 1 if progressed else standing.without_progress + 1
        if fault is Fault.NOT_FINITE:
            return self._halve_rate()
        if standing.without_progress > RESTARTS_WITHOUT_PROGRESS:
            return GIVEN_UP[fault]
        if fault is Fault.OUT_OF_MEMORY:
            return self._halve_microbatch()
        return None

    def _halve_rate(self) -> Ending | None:
        standing = self.standing
        standing.not_finite += 1
        if standing.not_finite > 1:
            return Ending.DIVERGED
        standing.lr_factor /= 2
        standing.below_step = self.not_finite_step or None  # a step that nobody knows bars no checkpoint
        return None

    def _halve_microbatch(self) -> Ending | None:
        if self.standing.microbatch == 1:
            return Ending.OUT_OF_MEMORY
        self.standing.microbatch = max(1, (self.standing.microbatch or FIRST_MICROBATCH) // 2)
        return None


def _fault_of(code: int | None) -> Fault:
    if code == TrainerExit.OUT_OF_MEMORY:
        return Fault.OUT_OF_MEMORY
    return Fault.NOT_FINITE if code == TrainerExit.NOT_FINITE else Fault.CRASH
