"""A machine that follows a script: when it is up, how fast it is, and a trainer that runs on it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from nightshift.events import Event
from nightshift.states import TrainerExit
from nightshift.trainer import DEADLINE
from tasks.fault_model import INF, Script

START_S = 20.0
"""From a trainer's start to its first step: interpreter, imports, data."""
SAY_EVERY_S = 30.0
SAVE_EVERY_S, SAVE_S = 300.0, 2.0
ENDING_S = 5.0
"""A trainer's own reserve before its deadline: last evaluation and checkpoint."""
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
FIRST_FIT = 8
"""Micro-batch that fits where the first one did not."""


@dataclass(frozen=True)
class Machine:
    """What the script allows, whoever runs the night; seconds after its start."""

    script: Script

    def up(self, at_s: float) -> float:
        """Return `at_s`, or when the machine is up and awake again; infinity where it stays down."""
        for begin, end in sorted((*self.script.down, *self.script.asleep)):
            if begin <= at_s < end:
                at_s = end
        return at_s

    def next_stop(self, at_s: float) -> float:
        """Return when the machine next goes down or to sleep."""
        return min((b for b, _ in (*self.script.down, *self.script.asleep) if b >= at_s), default=INF)

    def rate(self, at_s: float) -> float:
        """Return work per second."""
        slow = self.script.slow
        return slow[1] if slow and at_s >= slow[0] else 1.0

    def work_between(self, begin_s: float, end_s: float) -> float:
        """Return the most work that could be done in this time, the GPU's end included."""
        end_s, work, at_s = min(end_s, self.script.gpu_stop_s), 0.0, begin_s
        while (at_s := self.up(at_s)) < end_s:
            until = min(end_s, self.next_stop(at_s), self._rate_change(at_s))
            work += (until - at_s) * self.rate(at_s)
            at_s = until
        return work

    def when_done(self, begin_s: float, work: float) -> float:
        """Return when this much work is done at the earliest, or infinity."""
        at_s = begin_s
        while (at_s := self.up(at_s)) < INF:
            until = min(self.next_stop(at_s), self._rate_change(at_s))
            done = (until - at_s) * self.rate(at_s)
            if done >= work:
                return at_s + work / self.rate(at_s)
            work -= done
            at_s = until
        return INF

    def _rate_change(self, at_s: float) -> float:
        slow = self.script.slow
        return slow[0] if slow and at_s < slow[0] else INF

    def saves(self, at_s: float) -> bool:
        """Return whether a checkpoint can be written."""
        return not any(begin <= at_s < end for begin, end in self.script.full)


@dataclass
class FakeTrainer:
    """A trainer that speaks the contract's events under a virtual clock."""

    machine: Machine
    at_s: float
    work: float
    """Where it goes on from."""
    total: float
    deadline_s: float
    trains: bool = False
    """Whether it is the training: the one that saves, and that faults of the code befall."""
    microbatch: int | None = None
    skip_work: float | None = None
    hung: bool = False
    code: int | None = None
    """Exit code, None while it runs."""
    saved_at_s: float = 0.0

    def __post_init__(self) -> None:
        self.saved_at_s = self.at_s
        self.first = True

    def advance(self) -> list[Event]:
        """Return what it says next, `at_s` having moved to that moment; nothing for ever where it hangs."""
        if self.first:
            self.first = False
            self.at_s += START_S
            broken = self.trains and self.machine.script.gpu_stop_s <= self.at_s
            if broken:
                self.code = 1
                return []
            return [Event("started", EPOCH), Event("phase", EPOCH, name="train")]
        if self.trains and self.at_s - self.saved_at_s >= SAVE_EVERY_S:
            return self._save()
        return self._work()

    def next_s(self) -> float:
        """Return when it will next be heard."""
        if self.hung or self.code is not None:
            return INF
        if self.first:
            return self.at_s + START_S
        if self.trains and self.at_s - self.saved_at_s >= SAVE_EVERY_S:
            return self.at_s + SAVE_S
        return self.at_s + self._stretch()[0]

    def _stretch(self) -> tuple[float, float]:
        """Return (seconds, work then) until it next speaks, does its last step, or meets a fault."""
        rate, script = self.machine.rate(self.at_s), self.machine.script
        seconds = min(SAY_EVERY_S, max(0.0, self.deadline_s - ENDING_S - self.at_s))
        mark = self.total
        if self.trains:
            seconds = min(seconds, max(0.0, script.gpu_stop_s - self.at_s))
            marks = [script.code_error_work]
            marks += [script.oom_work] if self._too_large() else []
            marks += [script.nan_work] if self.skip_work is None else []
            mark = min([mark, *(one for one in marks if one > self.work)])
        if (mark - self.work) / rate <= seconds:
            return (mark - self.work) / rate, mark
        return seconds, self.work + seconds * rate

    def _too_large(self) -> bool:
        return (self.microbatch or INF) > FIRST_FIT

    def _work(self) -> list[Event]:
        script, before = self.machine.script, self.at_s
        seconds, self.work = self._stretch()
        self.at_s += seconds
        if self.trains:
            if before <= script.hang_s < self.at_s:
                self.hung = True
                return []
            if self.work >= script.code_error_work or self.at_s >= script.gpu_stop_s:
                self.code = 1
                return []
            if self.work >= script.oom_work and self._too_large():
                self.code = TrainerExit.OUT_OF_MEMORY
                return []
            if self.work == script.nan_work and self.skip_work is None:
                return [Event("metrics", EPOCH, step=int(self.work), nonfinite=("loss",))]
        if self.at_s >= self.deadline_s - ENDING_S or self.work >= self.total:
            return self._finish()
        return [Event("progress", EPOCH, step=int(self.work), samples=int(self.work))]

    def _finish(self) -> list[Event]:
        cut = self.work < self.total
        events = self._save() if self.trains else []
        self.code = TrainerExit.FINISHED
        return [*events, Event("finished", EPOCH, reason=DEADLINE if cut else "done")]

    def _save(self) -> list[Event]:
        self.at_s += SAVE_S
        self.saved_at_s = self.at_s
        kind = "checkpoint" if self.machine.saves(self.at_s) else "checkpoint-failed"
        phases = [Event("phase", EPOCH, name="checkpoint"), Event(kind, EPOCH, step=int(self.work))]
        return [*phases, Event("phase", EPOCH, name="train")]
