"""Was the work really done? What a stage's events and the GPU's samples say, beside what was planned."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.settings import SETTINGS_OF
from nightshift.events import Event, read_events
from nightshift.instant import parse_utc
from nightshift.rundir import RunDir
from nightshift.states import Ending, NightError
from nightshift.trainer import DEADLINE, STOP_ASKED
from schedules.plan import Stage
from verdict.reasons import Reason, pause
from verdict.seal import Seal

SKIPPED = 0.01
"""Share of batches that may be skipped: a gradient scaler skips its first steps."""
DONE = 0.5
"""A stage that says it is done must have done at least this share of its own plan."""
SHORT = 0.05
"""Below this share of its time, a stage that did less than one pass over the data did not do its work."""
COUNTS_OTHER_THINGS = set(SETTINGS_OF) - {"models.train_fusion"}
"""Trainers whose `samples` are not queries or more: trees, trials, index builds."""
MINUTE_S = 60.0


@dataclass(frozen=True)
class Work:
    """What one stage's trainer said of its own work."""

    progress: list[Event]
    batches: int
    """Reports of a loss."""
    skipped: int
    """Of those, not finite; or what the trainer counted as skipped."""
    reason: str
    """Why it finished, in its own words."""

    @property
    def share(self) -> float:
        """Largest share of its own plan that was done, 0..1."""
        return max((e.samples / e.total for e in self.progress if e.total > 0), default=0.0)

    @property
    def total(self) -> int:
        """Samples it planned."""
        return max((event.total for event in self.progress), default=0)


def work_of(events: Sequence[Event]) -> Work:
    """Return what these events say of the work.

    Losses without a number that ended an attempt are not counted: the nightwatch threw that attempt's tail away.
    """
    starts = [number for number, event in enumerate(events) if event.kind == "started"]
    last_start = starts[-1] if starts else 0
    events = [e for n, e in enumerate(events) if n >= last_start or "loss" not in e.nonfinite]
    losses = [event for event in events if event.kind == "metrics" and _speaks_of_loss(event)]
    counted = [e.values["skipped_batches"] for e in events if "skipped_batches" in e.values]
    planned = [e.values["batches"] for e in events if "batches" in e.values]
    batches = int(max(planned, default=len(losses)))
    skipped = int(max([*counted, sum("loss" in event.nonfinite for event in losses)], default=0))
    finished = [event.reason for event in events if event.kind == "finished"]
    progress = [event for event in events if event.kind == "progress"]
    return Work(progress, max(batches, len(losses)), skipped, finished[-1] if finished else "")


def _speaks_of_loss(event: Event) -> bool:
    return "loss" in event.values or "loss" in event.nonfinite


def observe(run: RunDir, seal: Seal, stage_name: str) -> list[Reason]:
    """Return why the work of the stage that wrote the judged checkpoint must not be believed."""
    stage = next((stage for stage in seal.night.stages if stage.name == stage_name), None)
    if stage is None:
        return []
    work = work_of(read_events(run.stage(stage.name).events)[0])
    short = _time_share(run, seal, stage) < SHORT
    return [*_unfinished(seal, stage, work, short, _ending(run, stage)), *_skipped(stage, work)]


def _ending(run: RunDir, stage: Stage) -> str:
    try:
        return str(json.loads(run.stage(stage.name).exit.read_text())["ending"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _unfinished(seal: Seal, stage: Stage, work: Work, short: bool, ending: str) -> list[Reason]:
    mend = (
        f"Read stages/{stage.name}/output.log (5 min): what was skipped, and why does it say that it is done?"
    )
    if not work.progress:
        return [pause(f"{stage.title} reported no work at all, and left a checkpoint", mend)]
    declared = work.reason not in ("", "done") or ending != Ending.FINISHED
    if work.share < DONE and not declared:
        what = f"{stage.title} says that it is done after {work.share:.0%} of its planned work"
        return [pause(f"{what}, and names no reason for stopping early", mend)]
    queries = seal.data.contents["train"].queries if "train" in seal.data.contents else 0
    cut = work.reason in (DEADLINE, STOP_ASKED)
    if short and not cut and stage.module not in COUNTS_OTHER_THINGS and work.total < queries:
        what = f"{stage.title} planned {work.total:,} samples, and there are {queries:,} training queries"
        return [pause(f"{what}: it never saw them all, and took almost none of its time", mend)]
    return []


def _skipped(stage: Stage, work: Work) -> list[Reason]:
    if work.batches == 0 or work.skipped <= SKIPPED * work.batches:
        return []
    return [
        pause(
            f"{stage.title} skipped {work.skipped:,} of {work.batches:,} batches whose loss was not a number",
            "Find the first batch that gives no number (30 min): stages/"
            f"{stage.name}/events.jsonl names its step.",
        )
    ]


def _time_share(run: RunDir, seal: Seal, stage: Stage) -> float:
    """Return the share of its planned time that a stage took, 1 where that is not known."""
    span = training_span(run, stage.name)
    slot = next(s for s in seal.timetable().slots if s.stage.name == stage.name)
    if span is None or slot.planned_minutes <= 0:
        return 1.0
    return (span[1] - span[0]).total_seconds() / (60 * slot.planned_minutes)


def training_span(run: RunDir, stage: str) -> tuple[datetime, datetime] | None:
    """Return from first spawn to end of a stage, restarts included, or None where it never ran."""
    try:
        attempts = json.loads(run.stage(stage).exit.read_text())["attempts"]
        return parse_utc(attempts[0]["start"]), parse_utc(attempts[-1]["end"])
    except (OSError, ValueError, KeyError, IndexError, TypeError, NightError):
        return None


def goodput(work: Work, span_s: float) -> float | None:
    """Return the work done per second beside that of the best minute, 0..1, or None where too little is known.

    `span_s` is the stage's length on the same clock as its events.
    """
    marks = [(event.at.timestamp(), event.samples) for event in work.progress]
    best, later = 0.0, 0
    for at, samples in marks:
        while later < len(marks) and marks[later][0] < at + MINUTE_S:
            later += 1
        if later == len(marks):
            break
        best = max(best, (marks[later][1] - samples) / (marks[later][0] - at))
    if best <= 0 or span_s <= 0:
        return None
    return (marks[-1][1] - marks[0][1]) / (best * span_s)
