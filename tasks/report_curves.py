"""Curves of the night from the trainers' events: for the eye, never for the word."""

import math
from collections.abc import Iterable, Sequence

from nightshift.events import Event, read_events
from nightshift.rundir import RunDir
from tasks.report_model import Curve

POINTS = 600
"""A curve on the page has no more points than this."""


def read_curves(run: RunDir, stages: Sequence[str]) -> tuple[dict[str, Curve], list[str]]:
    """Return metric -> its values over time, and a warning per value that was not finite."""
    events: list[Event] = []
    warnings: list[str] = []
    for stage in stages:
        told = [event for event in _events(run, stage) if event.kind == "metrics"]
        events += told
        warnings += _nonfinite(stage, told)
    names = dict.fromkeys(name for event in events for name in event.values if _wanted(name))
    return {name: _thinned(_points(events, name)) for name in names}, warnings


def _wanted(name: str) -> bool:
    return name in ("loss", "best_value") or name.startswith("val_")


def _events(run: RunDir, stage: str) -> list[Event]:
    try:
        return read_events(run.stage(stage).events)[0]
    except OSError:
        return []


def _points(events: Iterable[Event], name: str) -> Curve:
    told = ((event.at, event.values[name]) for event in events if name in event.values)
    return tuple(sorted(point for point in told if math.isfinite(point[1])))


def _thinned(points: Curve) -> Curve:
    """Return at most `POINTS` of them, the first and the last always among these."""
    if len(points) <= POINTS:
        return points
    chosen = (round(i * (len(points) - 1) / (POINTS - 1)) for i in range(POINTS))
    return tuple(points[i] for i in chosen)


def _nonfinite(stage: str, events: Iterable[Event]) -> list[str]:
    counts: dict[str, int] = {}
    for event in events:
        for name in event.nonfinite:
            counts[name] = counts.get(name, 0) + 1
    return [f"stage {stage}: {name} was not a finite number {n} times" for name, n in counts.items()]
