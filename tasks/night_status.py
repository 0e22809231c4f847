"""The night as it stands: one JSON document that the nightwatch replaces whenever something changes."""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from nightshift.checkpoint import write_atomically
from nightshift.events import Event
from schedules.timetable import Slot

RUNNING, HANDED_OVER = "running", "handed_over"


@dataclass
class StageStatus:
    """One stage, planned and actual; instants are ISO 8601 UTC."""

    name: str
    title: str
    planned_start: str
    planned_end: str
    deadline: str = ""
    start: str = ""
    end: str = ""
    ending: str = ""
    restarts: int = 0
    phase: str = ""
    step: int = 0
    samples: int = 0
    total: int = 0
    share: float = 0.0
    values: dict[str, float] = field(default_factory=dict)
    last_event: str = ""
    notes: list[str] = field(default_factory=list)

    @classmethod
    def planned(cls, slot: Slot) -> "StageStatus":
        """Return a stage that has not begun."""
        return cls(slot.stage.name, slot.stage.title, slot.start.isoformat(), slot.end.isoformat())

    @property
    def done(self) -> float:
        """How far it is, 0..1: the larger of work done and time used; 1 once it has ended."""
        worked = min(1.0, self.samples / self.total) if self.total else 0.0
        return 1.0 if self.ending else max(worked, self.share)

    def take(self, event: Event) -> None:
        """Let one event of the trainer show."""
        self.last_event = event.at.isoformat()
        if event.kind == "phase":
            self.phase = event.name
        elif event.kind == "progress":
            self.step, self.samples, self.total = event.step, event.samples, event.total
            self.share = event.share
        elif event.kind == "metrics":
            self.values.update(event.values)


@dataclass
class Note:
    """Something a person should know of, and when it happened."""

    at: str
    text: str


@dataclass
class NightStatus:
    """One night as it stands."""

    night: str
    title: str
    date: str
    run_dir: str
    hand_over: str
    speed: float
    state: str = RUNNING
    step: str = ""
    now: str = ""
    word: str = ""
    sentence: str = ""
    handed_over_at: str = ""
    gpu: str = ""
    """The GPU's name, or why there is none."""
    gpu_values: dict[str, float] = field(default_factory=dict)
    """The sampler's newest reading."""
    stages: list[StageStatus] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    """Steps that are over: stage names, then judge, hand-over, report."""
    notes: list[Note] = field(default_factory=list)

    def note(self, at: datetime, text: str) -> None:
        """Remember an event worth reading in the morning."""
        self.notes.append(Note(at.isoformat(), text))

    def stage(self, name: str) -> StageStatus:
        """Return one stage's status."""
        return next(stage for stage in self.stages if stage.name == name)

    def write(self, path: Path, now: datetime, sync: bool = True) -> None:
        """Replace the document on disk."""
        self.now = now.isoformat()
        write_atomically(path, json.dumps(asdict(self), indent=1), sync)


def status_from(text: str) -> NightStatus | None:
    """Return the night's status from its JSON text, or None where it is not one."""
    try:
        record = json.loads(text)
        stages = [StageStatus(**stage) for stage in record.pop("stages")]
        notes = [Note(**note) for note in record.pop("notes")]
        return NightStatus(**record, stages=stages, notes=notes)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def read_status(path: Path) -> NightStatus | None:
    """Return the night's status from its file, or None where there is none that can be read."""
    try:
        return status_from(path.read_text())
    except OSError:
        return None
