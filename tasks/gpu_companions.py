"""What stands beside utilisation, from the sampler's file: spread, idle gaps, heat, memory, energy, likely cause."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from nightshift.instant import parse_utc
from tasks.gpu_diagnosis import diagnose, read_span, spent_between
from tasks.night_seconds import Spent
from tasks.report_model import Facts

IDLE_PCT = 5.0
"""Below this a GPU is idle."""
GAP_S = 5.0
"""Idle stretches shorter than this (real seconds) are not counted."""
JOULES_PER_KWH = 3.6e6
Piece = tuple[datetime, datetime, Spent]
Gap = tuple[datetime, float]
"""Begin and real seconds of an idle stretch."""
Record = dict[str, object]


def records(path: Path) -> Iterator[tuple[datetime, Record]]:
    """Give the sampler's lines with their instants; broken ones are passed over."""
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            record = json.loads(line)
            at = parse_utc(record["at"])
        except (ValueError, KeyError, TypeError):
            continue
        yield at, record


def _number(record: Record, name: str) -> float | None:
    value = record.get(name)
    return float(value) if isinstance(value, int | float) else None


def energy_kwh(path: Path) -> float | None:
    """Return what the GPUs took by their own counters, or None where they have none; one may start anew in between."""
    joules: dict[object, list[float]] = {}
    for _, record in records(path):
        value = _number(record, "energy_j")
        if value is not None:
            joules.setdefault(record.get("gpu"), []).append(value)
    if not joules:
        return None
    taken = (max(0.0, after - before) for counter in joules.values() for before, after in pairwise(counter))
    return sum(taken) / JOULES_PER_KWH


def idle_gaps(lines: Sequence[tuple[datetime, Record]], speed: float) -> list[Gap]:
    """Return (begin, real seconds) of every idle stretch that lasted."""
    gaps: list[Gap] = []
    idle: list[datetime] = []
    for at, busy in [*((at, _number(record, "utilisation_pct")) for at, record in lines), (None, None)]:
        if at is not None and busy is not None and busy < IDLE_PCT:
            idle.append(at)
            continue
        if idle and (lasted_s := (idle[-1] - idle[0]).total_seconds() / speed) > GAP_S:
            gaps.append((idle[0], lasted_s))
        idle = []
    return gaps


def gaps_between(path: Path, start: datetime, end: datetime, speed: float) -> list[Gap]:
    """Return the idle stretches of every GPU between two instants, as `idle_gaps` gives them."""
    of_each: dict[object, list[tuple[datetime, Record]]] = {}
    for at, record in records(path):
        if start <= at <= end:
            of_each.setdefault(record.get("gpu"), []).append((at, record))
    return [gap for lines in of_each.values() for gap in idle_gaps(lines, speed)]


def companions(
    path: Path, start: datetime, end: datetime, gaps: Sequence[Gap], pieces: Sequence[Piece], idle: bool
) -> Facts:
    """Return what stands beside the utilisation of a span; `gaps` are its idle stretches.

    `idle`: less busy than asked, so a cause is named.
    """
    lines = [(at, record) for at, record in records(path) if start <= at <= end]
    busy = [value for _, record in lines if (value := _number(record, "utilisation_pct")) is not None]
    facts: Facts = {}
    if busy:
        p5, p50, p95 = np.percentile(busy, [5, 50, 95])
        facts |= {"p5_pct": round(float(p5)), "p50_pct": round(float(p50)), "p95_pct": round(float(p95))}
    active = [value for _, record in lines if (value := _number(record, "sm_pct")) is not None]
    if active:
        facts["processors_active_pct"] = round(float(np.mean(active)), 1)
    free = [
        total - used
        for _, record in lines
        if (total := _number(record, "memory_total_bytes")) and (used := _number(record, "memory_used_bytes"))
    ]
    if free:
        facts["least_free_memory_gib"] = round(min(free) / 2**30, 1)
    told = [record["throttled"] for _, record in lines if isinstance(record.get("throttled"), list)]
    if told:
        facts["throttled_share"] = round(sum(bool(reasons) for reasons in told) / len(told), 3)
    kwh = energy_kwh(path)
    if kwh is not None:
        facts["energy_kwh"] = round(kwh, 3)
    if gaps:
        facts["idle_gaps"] = _by_phase(gaps, pieces)
    if idle:
        cause = diagnose(read_span(path, start, end), spent_between(pieces, start, end))
        facts["likely_cause"] = cause.sentence
    return facts


def _by_phase(gaps: Sequence[Gap], pieces: Sequence[Piece]) -> str:
    sums: dict[str, tuple[int, float]] = {}
    for begin, seconds in gaps:
        spent = next((str(one) for left, right, one in pieces if left <= begin < right), "not known")
        count, total = sums.get(spent, (0, 0.0))
        sums[spent] = count + 1, total + seconds
    longest_first = sorted(sums.items(), key=lambda item: -item[1][1])
    return "; ".join(f"{spent}: {count}, {total:.0f} s" for spent, (count, total) in longest_first)
