"""Curves of the night from the trainers' events: for the eye, never for the word."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime

from nightshift.events import Event, read_events
from nightshift.rundir import RunDir
from tasks.report_model import Curves

POINTS = 600
"""A curve on the page has no more points than this."""
Curve = tuple[tuple[datetime, float], ...]


def read_curves(run: RunDir, stages: Sequence[str], judged_v1: float | None) -> tuple[Curves, list[str]]:
    """Return loss and validation nDCG@10 over time, and a warning per value that was not finite.

    `judged_v1` is V1.0's validation nDCG@10 as the judge re-scored it, or None.
    """
    events: list[Event] = []
    warnings: list[str] = []
    for stage in stages:
        told = [event for event in _events(run, stage) if event.kind == "metrics"]
        events += told
        warnings += _nonfinite(stage, told)
    said_v1 = [value for _, value in _points(events, "val_ndcg_at_10_v1")]
    v1 = judged_v1 if judged_v1 is not None else (said_v1[-1] if said_v1 else None)
    loss, validation = (_thinned(_points(events, name)) for name in ("loss", "val_ndcg_at_10"))
    return Curves(loss=loss, val_ndcg_at_10=validation, v1=v1), warnings


def _events(run: RunDir, stage: str) -> list[Event]:
    try:
        return read_events(run.stage(stage).events)[0]
    except OSError:
        return []


def _points(events: Iterable[Event], name: str) -> list[tuple[datetime, float]]:
    told = ((event.at, event.values.get(name, math.nan)) for event in events)
    return sorted(point for point in told if math.isfinite(point[1]))


def _thinned(points: list[tuple[datetime, float]]) -> Curve:
    """Return at most `POINTS` of them, the first and the last always among these."""
    if len(points) <= POINTS:
        return tuple(points)
    chosen = (round(i * (len(points) - 1) / (POINTS - 1)) for i in range(POINTS))
    return tuple(points[i] for i in chosen)


def _nonfinite(stage: str, events: Iterable[Event]) -> list[str]:
    counts: dict[str, int] = {}
    for event in events:
        for name in event.nonfinite:
            counts[name] = counts.get(name, 0) + 1
    return [f"stage {stage}: {name} was not a finite number {n} times" for name, n in counts.items()]
