"""One night under a virtual clock: the real budget and the real supervision, over a fake trainer.

What stands here is only what the nightwatch does with processes and files; every decision is `Budget`'s or
`Supervision`'s.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from signal import Signals

from nightshift.states import Ending
from schedules.budget import Budget
from schedules.clock import ManualClock
from tasks.fault_model import INF, Script
from tasks.simulated_machine import FakeTrainer, Machine
from tasks.supervision import Standing, Supervision

REVIVED_AFTER_S = 5.0
"""Between the death of a nightwatch and its flow starting another."""
HAND_OVER_S = 5.0
SHORTEST_MODEL_S = 600.0
"""Training without which there is nothing to hand over: twice the time between two checkpoints."""


@dataclass(frozen=True)
class NightResult:
    """What came of one simulated night."""

    handed_over_s: float
    """Seconds after the night's start; infinite where nothing was handed over."""
    late_s: float
    useful_s: float
    """Training work in the model that was handed over, in seconds at full rate."""
    judged: bool
    endings: dict[str, Ending]
    restarts: int


@dataclass
class SimulatedNight:
    """One night at work."""

    budget: Budget
    script: Script
    glance: Callable[["SimulatedNight"], None] | None = None
    """Called once, at `glance_s`, to look at the night as it stands."""
    glance_s: float = INF

    def __post_init__(self) -> None:
        self.start = self.budget.table.window.start
        self.clock = ManualClock(self.start)
        self.machine = Machine(self.script)
        self.hand_over_s = self._second(self.budget.hand_over)
        self.saved_work = 0.0
        self.restarts = 0
        self.watch_killed_s = self.script.watch_killed_s
        self.endings: dict[str, Ending] = {}
        self.began_s: dict[str, float] = {}
        self.supervision: Supervision | None = None
        self.trainer: FakeTrainer | None = None

    def instant(self, second: float) -> datetime:
        """Return the instant this many seconds after the night's start."""
        return self.start + timedelta(seconds=second)

    def _second(self, instant: datetime) -> float:
        return (instant - self.start).total_seconds()

    @property
    def now_s(self) -> float:
        """Seconds after the night's start."""
        return self._second(self.clock.now())

    def _wait(self, second: float) -> None:
        if self.glance and second > self.glance_s:
            glance, self.glance = self.glance, None
            self.clock.wait_until(self.start + timedelta(seconds=max(self.now_s, self.glance_s)))
            glance(self)
        self.clock.wait_until(self.start + timedelta(seconds=second))

    def run(self) -> NightResult:
        """Return what came of it."""
        endings = self.endings
        for index, slot in enumerate(self.budget.table.slots):
            up_s = self.machine.up(self.now_s)
            if up_s == INF:
                break
            self._wait(up_s)
            started = self.clock.now()
            if self.budget.why_not(index, started):
                endings[slot.stage.name] = Ending.NOT_STARTED
                continue
            deadline_s = self._second(self.budget.deadline(index, started))
            self.began_s[slot.stage.name] = self.now_s
            elastic = slot.stage.elastic
            total = INF if elastic else self.script.set_up_s if index == 0 else self.script.evaluate_s
            endings[slot.stage.name] = self._stage(elastic, total, deadline_s)
        judged, handed_over_s = self._close()
        if self.glance:  # all was over before
            self.glance(self)
        useful = self.saved_work if judged and self.saved_work >= 1 else 0.0
        late_s = max(0.0, handed_over_s - self.hand_over_s)
        return NightResult(handed_over_s, late_s, useful, judged, endings, self.restarts)

    def _stage(self, trains: bool, total: float, deadline_s: float) -> Ending:
        standing = Standing()
        supervision = Supervision(standing, self.budget.costs.grace_s)
        while True:
            self._wait(self.machine.up(self.now_s))
            if self.now_s == INF:
                return Ending.CRASHED
            supervision.begin(self.now_s)
            trainer = self._trainer(trains, total, deadline_s, standing)
            self.supervision, self.trainer = supervision, trainer
            gone = self._attempt(supervision, trainer, deadline_s)
            if gone:  # the machine went down: another nightwatch, with what was on disk
                supervision = Supervision(standing, self.budget.costs.grace_s)
                if self.machine.up(self.now_s) == INF:
                    return Ending.CRASHED
            ending = supervision.ended(None if gone else trainer.code, stop_asked=False)
            self.restarts = max(self.restarts, standing.restarts)
            if ending is not None:
                return ending
            if self.machine.up(self.now_s) >= deadline_s:
                return Ending.STOPPED_AT_DEADLINE

    def _trainer(self, trains: bool, total: float, deadline_s: float, standing: Standing) -> FakeTrainer:
        work = self.saved_work if trains else 0.0
        return FakeTrainer(
            self.machine, self.now_s, work, total, deadline_s, trains,
            microbatch=standing.microbatch,
            skip_work=standing.below_step if standing.not_finite else None,
        )  # fmt: skip

    def _attempt(self, supervision: Supervision, trainer: FakeTrainer, deadline_s: float) -> bool:
        """Follow one process to its end; return whether the machine went down with it."""
        while trainer.code is None:
            heard_s = trainer.next_s()
            look_s = min(supervision.next_look_s(), deadline_s if not supervision.over else INF)
            next_s = max(self.now_s, min(heard_s, look_s))
            stop_s = self.machine.next_stop(self.now_s)
            if stop_s <= next_s:
                self._wait(stop_s)
                up_s = self.machine.up(stop_s)
                if not self._only_asleep(stop_s):
                    return True
                self._wait(up_s)
                trainer.at_s += up_s - stop_s
                supervision.pace.slept(up_s - stop_s)
                continue
            if self.watch_killed_s <= next_s:
                self._revive(supervision, trainer)
                continue
            self._wait(next_s)
            if heard_s <= look_s:
                self._hear(supervision, trainer)
            else:
                self._act(supervision.due(self.now_s, self.now_s >= deadline_s), trainer)
        return False

    def _only_asleep(self, stop_s: float) -> bool:
        return any(begin == stop_s for begin, _ in self.script.asleep)

    def _hear(self, supervision: Supervision, trainer: FakeTrainer) -> None:
        for event in trainer.advance():
            supervision.hear(event, trainer.at_s, self.now_s)
            if event.kind == "checkpoint":
                self.saved_work = max(self.saved_work, trainer.work)
        self._wait(trainer.at_s if not trainer.hung else self.now_s)
        self._act(supervision.due(self.now_s, over=False), trainer)

    def _act(self, number: Signals | None, trainer: FakeTrainer) -> None:
        if number is Signals.SIGKILL:
            trainer.code = -Signals.SIGKILL
        elif number is Signals.SIGTERM and not trainer.hung:
            trainer.deadline_s = self.now_s  # it saves and ends

    def _revive(self, supervision: Supervision, trainer: FakeTrainer) -> None:
        """Nobody watches for some seconds; then another nightwatch adopts the trainer as it runs."""
        back_s = max(self.now_s, self.watch_killed_s) + REVIVED_AFTER_S
        self.watch_killed_s = INF
        while trainer.code is None and trainer.next_s() < back_s:
            self._wait(trainer.next_s())
            self._hear(supervision, trainer)
        self._wait(back_s)
        if supervision.pace.heard_s is not None:
            supervision.pace.heard_s = self.now_s

    def _close(self) -> tuple[bool, float]:
        """Return whether the night was judged, and when it was handed over."""
        while True:
            begin_s = self.machine.up(self.now_s)
            if begin_s == INF:
                return False, INF
            self._wait(begin_s)
            limit_s = max(begin_s + 5.0, self.hand_over_s - HAND_OVER_S)
            judged = begin_s + self.script.judge_s <= limit_s
            end_s = min(begin_s + self.script.judge_s, limit_s) + HAND_OVER_S
            stop_s = self.machine.next_stop(begin_s)
            if stop_s < end_s:
                self._wait(stop_s)
                continue
            return judged, end_s


def bound(budget: Budget, script: Script) -> tuple[bool, float]:
    """Return whether physics allowed this night's plan a hand-over with a model, and the most useful training.

    The bound is that of somebody who loses nothing: no start-up, no checkpoint, no restart, no lost work; only
    the machine's own absence, its rate, the GPU's end, and a place that the code cannot pass.
    """
    machine = Machine(script)
    start = budget.table.window.start
    index = next(i for i, slot in enumerate(budget.table.slots) if slot.stage.elastic)
    end_s = (budget.latest_end(index) - start).total_seconds()
    end_s = min(end_s, (budget.table.slots[index].end - start).total_seconds())
    begin_s = machine.when_done(0.0, script.set_up_s)
    work = min(machine.work_between(begin_s, end_s), script.code_error_work)
    hand_over_s = (budget.hand_over - start).total_seconds()
    behind_s = script.judge_s + HAND_OVER_S + min(script.evaluate_s, hand_over_s - end_s - script.judge_s)
    up_s = _up_between(machine, end_s, hand_over_s)
    return work >= SHORTEST_MODEL_S and up_s >= behind_s, work


def _up_between(machine: Machine, begin_s: float, end_s: float) -> float:
    """Return the longest time at once that the machine is up between two seconds."""
    longest, at_s = 0.0, begin_s
    while (at_s := machine.up(at_s)) < end_s:
        until = min(end_s, machine.next_stop(at_s))
        longest, at_s = max(longest, until - at_s), until
    return longest
