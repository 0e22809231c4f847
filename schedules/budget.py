"""Deadline arithmetic: who gets how much of the night, anchored at its start and its hand-over."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from nightshift.states import NightError
from schedules.timetable import Slot, Timetable


@dataclass(frozen=True)
class ProcessCosts:
    """Real seconds that no rehearsal can compress."""

    start_s: float = 5.0
    """A trainer's start: interpreter and imports (2.5-4 s for torch on 2 cores, measured)."""
    grace_s: float = 3.0
    """Between asking a trainer to stop and killing it."""
    judge_s: float = 20.0
    """The judge, until one was measured on this machine and data."""
    hand_over_s: float = 1.5
    """Copying weights and writing `handoff.json`."""

    @property
    def wind_down_s(self) -> float:
        """Everything behind the last stage's work, with a quarter more for the judge."""
        return self.grace_s + 1.25 * self.judge_s + self.hand_over_s


NIGHT_GRACE_S = 20.0
"""Grace in a real night."""


@dataclass(frozen=True)
class Budget:
    """The night's arithmetic for one speed and one measured machine; `hand_over` may have been moved."""

    table: Timetable
    hand_over: datetime
    speed: float
    costs: ProcessCosts

    @property
    def reserve(self) -> timedelta:
        """Night time kept for judge, hand-over and report: the plan's wind-down, or what they really take."""
        return max(self.table.wind_down, timedelta(seconds=self.costs.wind_down_s * self.speed))

    @property
    def grace(self) -> timedelta:
        """Night time that a stage may take to end after its deadline, without taking it from the next."""
        return timedelta(seconds=self.costs.grace_s * self.speed)

    def minimum(self, slot: Slot) -> timedelta:
        """Least night time with which a stage is started: its plan's minimum, or the start of a process."""
        return max(slot.minimum, timedelta(seconds=self.costs.start_s * self.speed))

    def latest_end(self, index: int) -> datetime:
        """Return when stage `index` must be over so that every later minimum and the wind-down still fit."""
        behind = self.table.slots[index + 1 :]
        later = sum((self.minimum(slot) + self.grace for slot in behind), timedelta())
        return self.hand_over - self.reserve - later

    def deadline(self, index: int, started: datetime) -> datetime:
        """Return the deadline of stage `index` when it starts at `started`.

        Before the elastic stage a late start moves the planned end, and a stage that may overrun has
        none; the elastic stage and those behind it end as planned, however late they begin.
        """
        slots = self.table.slots
        slot = slots[index]
        elastic = next(i for i, other in enumerate(slots) if other.stage.elastic)
        if index < elastic and slot.stage.may_overrun:
            return self.latest_end(index)
        moved = slot.end + max(timedelta(), started - slot.start) if index < elastic else slot.end
        return min(moved, self.latest_end(index))

    def why_not(self, index: int, now: datetime) -> str | None:
        """Return why stage `index` cannot be started any more, or None where its minimum fits."""
        slot = self.table.slots[index]
        left = self.deadline(index, now) - now
        if left >= self.minimum(slot):
            return None
        return (
            f"{max(0.0, left.total_seconds() / 60):.0f} min were left, "
            f"its minimum is {self.minimum(slot).total_seconds() / 60:.0f} min"
        )


def fastest_speed(table: Timetable, costs: ProcessCosts) -> float:
    """Return the largest speed at which every stage and the wind-down still fit the real time they take."""
    low, high = 1.0, 100_000.0
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (middle, high) if _fits(table, costs, middle) else (low, middle)
    return low


def _fits(table: Timetable, costs: ProcessCosts, speed: float) -> bool:
    budget = Budget(table, table.window.hand_over, speed, costs)
    stages = sum((budget.minimum(slot) + budget.grace for slot in table.slots), timedelta())
    needed = budget.reserve + stages - budget.grace  # the reserve holds the last stage's
    return needed <= table.window.hand_over - table.window.start


def refuse_too_fast(table: Timetable, costs: ProcessCosts, speed: float) -> None:
    """Raise NightError where the night cannot fit at this speed, naming one at which it can."""
    if speed != 1 and not _fits(table, costs, speed):
        fastest = int(fastest_speed(table, costs))
        seconds = (table.window.hand_over - table.window.start).total_seconds() / speed
        raise NightError(
            f"speed {speed:g} leaves {seconds:.0f} s for night {table.night.name!r}, and starting its "
            f"{len(table.slots)} stages and judging take longer here; use --speed {fastest} or less"
        )
