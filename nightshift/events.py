"""One JSON line a trainer wrote, and reading a file of them that is still being written."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from nightshift.instant import parse_utc

PHASES = ("setup", "compile", "load", "train", "evaluate", "checkpoint")

Scalar = int | float | str | bool | None


@dataclass(frozen=True)
class Event:
    """What a trainer said, and when (UTC)."""

    kind: str
    """started, phase, progress, beat, metrics, device, checkpoint, checkpoint-failed, finished; others are ignored."""
    at: datetime
    step: int = 0
    samples: int = 0
    total: int = 0
    share: float = 0.0
    """0..1, the share of the annealing schedule that is used up."""
    name: str = ""
    """The phase."""
    within_s: float = 0.0
    """Real seconds that the phase may be silent, where its trainer says so."""
    path: str = ""
    """The checkpoint's folder, relative to the run directory; absolute where the second sink took it."""
    reason: str = ""
    values: dict[str, float] = field(default_factory=dict)
    nonfinite: tuple[str, ...] = ()
    """Names of values that were not finite numbers, which JSON cannot carry."""


def split_finite(values: dict[str, float]) -> tuple[dict[str, float], list[str]]:
    """Return the finite values, and the names of those that JSON cannot carry."""
    finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
    return finite, sorted(set(values) - set(finite))


def append_line(path: Path, record: Mapping[str, object]) -> None:
    """Append one JSON object as one line in one write, so that no reader sees half of it interleaved."""
    line = json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def parse_event(line: bytes) -> Event | None:
    """Return the event on this line, or None where the line is not one."""
    try:
        record = json.loads(line)
        kind, at = record["kind"], parse_utc(record["at"])
        return Event(
            kind=str(kind),
            at=at,
            step=int(record.get("step", 0)),
            samples=int(record.get("samples", 0)),
            total=int(record.get("total", 0)),
            share=float(record.get("share", 0.0)),
            name=str(record.get("name", "")),
            within_s=float(record.get("within_s", 0.0)),
            path=str(record.get("path", "")),
            reason=str(record.get("reason", "")),
            values={str(k): float(v) for k, v in record.get("values", {}).items()},
            nonfinite=tuple(str(name) for name in record.get("nonfinite", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def read_events(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    """Return the whole events behind byte `offset`, and the offset to go on from.

    A last line without its newline is left for the next call; a line that is no event is passed over.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    end = data.rfind(b"\n") + 1
    events = [event for line in data[:end].splitlines() if (event := parse_event(line))]
    return events, offset + end
