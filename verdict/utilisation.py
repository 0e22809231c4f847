"""The utilisation criterion from the sampler's file: unknown time counts as unknown."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nightshift.instant import parse_utc
from nightshift.states import CriterionState
from schedules.plan import Criterion
from verdict.criteria import COVERAGE_MIN, finding, not_measured
from verdict.finding import Finding
from verdict.reasons import Reason, pause

SAMPLE_EVERY_S = 1.0
SPIN_SM_PCT = 10.0
"""A GPU that is busy all the time with less of its processors than this spins."""
SLOW = 0.1
"""Work per second, beside the stage's own best minute, below which a busy GPU does nothing useful."""
LONGEST_GAP_S = 3.0
"""Between two samples further apart than this, utilisation is unknown."""


@dataclass(frozen=True)
class GpuReading:
    """One line of the sampler's file."""

    at: datetime
    utilisation_pct: float | None
    sm_pct: float | None = None
    """Activity of the processors, where the driver tells."""
    gpu: str = ""
    """UUID of the device."""


@dataclass(frozen=True)
class Utilisation:
    """Busy share of a span with its two bounds, in per cent."""

    low_pct: float
    high_pct: float
    coverage: float
    samples: int
    sm_pct: float | None = None
    """Mean activity of the processors, where it is known."""


def read_samples(path: Path) -> list[GpuReading]:
    """Return the whole samples in a sampler's file, oldest first; broken lines are passed over."""
    samples = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
            value = record.get("utilisation_pct")
            active = record.get("sm_pct")
            at, busy = parse_utc(record["at"]), None if value is None else float(value)
            gpu = str(record.get("gpu", ""))
            samples.append(GpuReading(at, busy, None if active is None else float(active), gpu))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return samples


def why_unsampled(path: Path) -> str:
    """Return what the sampler last said of utilisation that it could not read, or an empty text."""
    told = ""
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
            absent = record.get("absent", {}).get("utilisation")
            told = next((str(t) for t in (record.get("lost"), absent, record.get("error")) if t), told)
        except (ValueError, AttributeError):
            continue
    return f"the driver gives none: {told}" if told else ""


def utilisation(
    samples: Sequence[GpuReading], start: datetime, end: datetime, speed: float, gpus: Sequence[str] = ()
) -> Utilisation | None:
    """Return the busy share of the least busy GPU between two instants; None where one was not sampled at all.

    `gpus` are the devices that must have been sampled; without them, those that were.
    """
    of_each: dict[str, list[GpuReading]] = {gpu: [] for gpu in gpus}
    for sample in samples:
        of_each.setdefault(sample.gpu, []).append(sample)
    found = [_of_one(one, start, end, speed) for one in of_each.values()]
    known = [use for use in found if use is not None]
    return min(known, key=lambda use: use.low_pct) if found and len(known) == len(found) else None


def _of_one(
    samples: Sequence[GpuReading], start: datetime, end: datetime, speed: float
) -> Utilisation | None:
    """Return the busy share of one GPU between two instants, or None where nothing was sampled.

    Each sample stands for the time since the one before, at most `LONGEST_GAP_S` real seconds; what
    no sample stands for could have been anything from 0 to 100 %, which gives the two bounds. The first sample
    behind the end stands for what it saw of the span.
    """
    known = [s for s in samples if s.at >= start and s.utilisation_pct is not None]
    inside = [s for s in known if s.at <= end]
    total_s = (end - start).total_seconds() / speed
    if not inside or total_s <= 0:
        return None
    busy_s = covered_s = 0.0
    before = start
    for sample in inside:
        gap_s = (sample.at - before).total_seconds() / speed
        stands_for_s = gap_s if gap_s <= LONGEST_GAP_S else min(gap_s, SAMPLE_EVERY_S)
        covered_s += stands_for_s
        busy_s += stands_for_s * (sample.utilisation_pct or 0.0)
        before = sample.at
    behind_s = (known[len(inside)].at - before).total_seconds() / speed if len(known) > len(inside) else 0.0
    if 0 < behind_s <= LONGEST_GAP_S:
        tail_s = (end - before).total_seconds() / speed
        covered_s += tail_s
        busy_s += tail_s * (known[len(inside)].utilisation_pct or 0.0)
    coverage = min(1.0, covered_s / total_s)
    low = busy_s / total_s
    active = [s.sm_pct for s in inside if s.sm_pct is not None]
    sm_pct = sum(active) / len(active) if active else None
    return Utilisation(low, min(100.0, low + (1 - coverage) * 100), coverage, len(inside), sm_pct)


def spinning(use: Utilisation, asked_pct: float, rate: float | None) -> list[Reason]:
    """Return why a busy GPU is not believed: its processors stood still, or no work came of it.

    `rate` is the goodput, the work per second beside that of the stage's own best minute.
    """
    if use.low_pct <= asked_pct:
        return []
    mend = "Look for a waiting loop on the GPU (30 min): one thread in one kernel reads as 100 % busy."
    told = f"the GPU was busy {use.low_pct:.0f} % of the time"
    if use.sm_pct is not None and use.sm_pct < SPIN_SM_PCT:
        return [pause(f"{told} with {use.sm_pct:.0f} % of its processors: it waited, it did not work", mend)]
    if rate is not None and rate < SLOW:
        return [pause(f"{told}, and did {rate:.0%} of the work of its best minute", mend)]
    return []


def judge_utilisation(criterion: Criterion, use: Utilisation | None, no_gpu: str) -> Finding:
    """Return whether the lower bound of utilisation is above what is asked."""
    if use is None:
        return not_measured(criterion, no_gpu or "the GPU was never sampled")
    asked = criterion.above or 0.0
    if use.coverage < COVERAGE_MIN:
        return not_measured(criterion, f"only {use.coverage:.0%} of the stage was sampled")
    state = CriterionState.MET if use.low_pct > asked else CriterionState.MISSED
    reason = f"busy {use.low_pct:.0f} to {use.high_pct:.0f} % of the stage, {use.coverage:.0%} sampled"
    return finding(
        criterion,
        state,
        reason,
        value=(use.low_pct + use.high_pct) / 2,
        low=use.low_pct,
        high=use.high_pct,
        n=use.samples,
    )
