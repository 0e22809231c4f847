"""The ledger of seconds: every second of the window in exactly one class, read from what the night has written.

The base is a row of marks ("from here on: train"), so that nothing can be counted twice or left out; faults,
lost work and sleep are painted over it.
"""

import bisect
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from nightshift.events import Event, read_events
from nightshift.instant import parse_utc
from nightshift.rundir import RunDir
from verdict.ledger import Entry


class Spent(StrEnum):
    """What a second of the night went into."""

    SET_UP = "set-up"
    START = "start"
    """A trainer's interpreter and imports."""
    COMPILE = "compile"
    LOAD = "load"
    TRAIN = "train"
    EVALUATE = "evaluate"
    CHECKPOINT = "checkpoint"
    RESTART = "restart"
    """From a fault to the first word of the process that followed."""
    LOST = "lost work"
    """Training that a fault threw away: since the last whole checkpoint."""
    HANG = "hang"
    ASLEEP = "asleep"
    WAIT = "wait"
    """Between two steps: nobody worked."""
    JUDGE = "judge"
    HAND_OVER = "hand-over"
    IDLE = "idle"
    """After the hand-over, to the end of the window."""


PHASES = {
    "setup": Spent.SET_UP, "compile": Spent.COMPILE, "load": Spent.LOAD, "train": Spent.TRAIN,
    "evaluate": Spent.EVALUATE, "checkpoint": Spent.CHECKPOINT,
}  # fmt: skip
AVOIDABLE = {
    Spent.IDLE: "give the night more seeds or epochs: it was over early",
    Spent.LOST: "save more often, or find what broke",
    Spent.RESTART: "find what broke; `output.log` of the stage has its last words",
    Spent.HANG: "look at the stacks in `output.log`",
    Spent.ASLEEP: "keep the machine awake: `nightshift doctor` says how",
    Spent.LOAD: "keep what is loaded in a cache, or load it once for all stages",
    Spent.COMPILE: "keep the compiler's cache between nights",
    Spent.CHECKPOINT: "save less often: every five minutes is enough",
    Spent.WAIT: "the flow was slow to ask for the next stage",
}
"""Losses that somebody could avoid, and how."""
Interval = tuple[datetime, datetime]


@dataclass
class Seconds:
    """The window and what it went into."""

    start: datetime
    end: datetime
    marks: list[tuple[datetime, Spent]] = field(default_factory=list)
    painted: list[tuple[Interval, Spent, Spent | None]] = field(default_factory=list)
    """(interval, class, only over this class or over all)."""

    def mark(self, at: datetime, spent: Spent) -> None:
        """From this instant on the time goes into that."""
        self.marks.append((at, spent))

    def paint(self, begin: datetime, end: datetime, spent: Spent, over: Spent | None = None) -> None:
        """This interval went into something else; later paint covers earlier."""
        if begin < end:
            self.painted.append(((begin, end), spent, over))

    def pieces(self) -> list[tuple[datetime, datetime, Spent]]:
        """Return the window cut into pieces, each of one class, without gap or overlap."""
        marks = sorted(self.marks, key=lambda mark: mark[0])
        instants = [at for at, _ in marks]
        edges = {self.start, self.end, *instants}
        edges |= {at for interval, _, _ in self.painted for at in interval}
        inside = sorted(at for at in edges if self.start <= at <= self.end)
        pieces: list[tuple[datetime, datetime, Spent]] = []
        for begin, end in pairwise(inside):
            place = bisect.bisect_right(instants, begin)
            spent = marks[place - 1][1] if place else Spent.WAIT
            for (left, right), other, over in self.painted:
                if left <= begin and end <= right and over in (None, spent):
                    spent = other
            if pieces and pieces[-1][2] is spent:
                pieces[-1] = (pieces[-1][0], end, spent)
            else:
                pieces.append((begin, end, spent))
        return pieces


def totals(pieces: Iterable[tuple[datetime, datetime, Spent]]) -> dict[Spent, float]:
    """Return the seconds per class, the classes in their own order."""
    sums = dict.fromkeys(Spent, 0.0)
    for begin, end, spent in pieces:
        sums[spent] += (end - begin).total_seconds()
    return {spent: seconds for spent, seconds in sums.items() if seconds > 0}


def largest_avoidable(sums: dict[Spent, float]) -> tuple[Spent, float] | None:
    """Return the largest loss that somebody could avoid, or None where there was none."""
    losses = [(spent, seconds) for spent, seconds in sums.items() if spent in AVOIDABLE and seconds >= 1]
    return max(losses, key=lambda loss: loss[1], default=None)


def read_seconds(
    run: RunDir, stages: list[str], start: datetime, end: datetime, entries: list[Entry]
) -> Seconds:
    """Return the ledger of seconds of a night between two instants."""
    seconds = Seconds(start, end)
    for number, stage in enumerate(stages):
        _stage(seconds, run, stage, entries, sets_up=number == 0 and len(stages) > 1)
    for entry in entries:
        at = parse_utc(entry.at)
        spent = {
            "judge-started": Spent.JUDGE, "judged": Spent.HAND_OVER, "judge-failed": Spent.HAND_OVER,
            "handed-over": Spent.IDLE,
        }.get(entry.kind)  # fmt: skip
        if spent:
            seconds.mark(at, spent)
    return seconds


def _stage(seconds: Seconds, run: RunDir, stage: str, entries: list[Entry], sets_up: bool) -> None:
    mine = [entry for entry in entries if entry.facts.get("stage") == stage]
    starts = [parse_utc(entry.at) for entry in mine if entry.kind == "trainer-started"]
    ends = [parse_utc(entry.at) for entry in mine if entry.kind == "stage-ended"]
    if not starts:
        return
    events, _ = read_events(run.stage(stage).events)
    for number, at in enumerate(starts):
        seconds.mark(at, Spent.RESTART if number else Spent.START)
    for event in events:
        spent = _spent(event, sets_up)
        if spent:
            seconds.mark(event.at, spent)
    for end in ends:
        seconds.mark(end, Spent.WAIT)
    try:
        attempts = json.loads(run.stage(stage).exit.read_text())["attempts"]
    except (OSError, ValueError, KeyError):
        return
    for attempt in attempts:
        if attempt.get("fault"):
            begin, end = parse_utc(attempt["start"]), parse_utc(attempt["end"])
            _fault(seconds, [e for e in events if begin <= e.at <= end], begin, end, str(attempt["fault"]))


def _spent(event: Event, sets_up: bool) -> Spent | None:
    """Return what a trainer's time goes into from this event on; a set-up stage is set-up, whatever it does."""
    if event.kind == "started":
        return Spent.SET_UP if sets_up else Spent.LOAD
    if event.kind == "phase":
        return Spent.SET_UP if sets_up else PHASES.get(event.name)
    return None


def _fault(seconds: Seconds, events: list[Event], begin: datetime, end: datetime, fault: str) -> None:
    """Paint what a fault has cost: the silence before its end, and the training since the last checkpoint."""
    last = max((event.at for event in events), default=begin)
    saved = max((event.at for event in events if event.kind == "checkpoint"), default=begin)
    seconds.paint(saved, last, Spent.LOST, over=Spent.TRAIN)
    seconds.paint(last, end, Spent.HANG if fault == "hang" else Spent.RESTART)
    seconds.mark(end, Spent.RESTART)


def asleep(seconds: Seconds, entries: list[Entry], speed: float) -> None:
    """Paint the time in which the machine slept."""
    for entry in entries:
        if entry.kind == "slept":
            at = parse_utc(entry.at)
            slept = float(entry.facts["seconds"]) * speed
            seconds.paint(datetime.fromtimestamp(at.timestamp() - slept, at.tzinfo), at, Spent.ASLEEP)
