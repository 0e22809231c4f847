"""What the GPU's figures come to in a word: STARVED, STALLED, BUSY_BUT_SLOW; and how much of its work was of use."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from nightshift.events import Event, read_events
from nightshift.rundir import RunDir
from tasks.gpu_diagnosis import STARVED
from tasks.night_seconds import Spent
from tasks.report_model import Facts, StageReport
from verdict.observer import goodput, training_span, work_of
from verdict.utilisation import Utilisation

BUSY_PCT, SLOW_SM_PCT, SLOW_MFU = 80.0, 50.0, 0.1
STALLED = 0.10
"""Share of the time in idle stretches; `gpu_diagnosis.STARVED` is that of loading."""
FLOPS, CEILING = "flops_per_sample", "ceiling_flops_per_s"
"""Values of a `device` event with which a trainer says what a sample costs, and what the device can do at most."""


def work_facts(run: RunDir, stages: Sequence[StageReport], speed: float) -> Facts:
    """Return goodput, and MFU where the trainer measured what that takes, of the night's longest stage."""
    spans = {stage.name: span for stage in stages if (span := training_span(run, stage.name))}
    if not spans:
        return {}
    name = max(spans, key=lambda one: spans[one][1] - spans[one][0])
    events, _ = read_events(run.stage(name).events)
    span_s = (spans[name][1] - spans[name][0]).total_seconds()
    known = {"goodput": goodput(work_of(events), span_s), "mfu": mfu(events, span_s / speed)}
    return {name: round(share, 3) for name, share in known.items() if share is not None}


def mfu(events: Sequence[Event], span_s: float) -> float | None:
    """Return the share of the device's measured ceiling that went into samples, or None where it was not measured.

    `span_s`: real seconds.
    """
    told: dict[str, float] = {}
    for event in events:
        told |= {name: event.values[name] for name in (FLOPS, CEILING) if name in event.values}
    samples = max((event.samples for event in events if event.kind == "progress"), default=0)
    if len(told) < 2 or told[CEILING] <= 0 or span_s <= 0:
        return None
    return samples * told[FLOPS] / (told[CEILING] * span_s)


def words(
    use: Utilisation,
    gaps: Sequence[tuple[datetime, float]],
    real_s: float,
    spent: Mapping[Spent, float],
    used_share: float | None,
) -> str:
    """Return the words that hold of a span of `real_s` real seconds, each with its figure; empty where none does."""
    told = []
    loading = spent.get(Spent.LOAD, 0.0) / (sum(spent.values()) or 1.0)
    idle = sum(seconds for _, seconds in gaps) / real_s
    if loading > STARVED:
        told.append(f"STARVED: {loading:.0%} of the time went into loading")
    if idle > STALLED:
        told.append(f"STALLED: {idle:.0%} of the time in idle stretches")
    if use.low_pct > BUSY_PCT:
        if use.sm_pct is not None and use.sm_pct < SLOW_SM_PCT:
            told.append(f"BUSY_BUT_SLOW: {use.sm_pct:.0f} % of its processors active")
        elif used_share is not None and used_share < SLOW_MFU:
            told.append(f"BUSY_BUT_SLOW: {used_share:.1%} of its measured ceiling used")
    return "; ".join(told)
