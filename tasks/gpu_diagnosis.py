"""Why a GPU is not busy: the likely cause with its evidence, and the few lines to change. Never a punishment."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nightshift.instant import parse_utc
from tasks.night_seconds import Spent

THROTTLED, STARVED, EVALUATING, EMPTY = 0.05, 0.20, 0.25, 0.30
"""Shares from which a cause is named: of samples throttled, of time loading, of time evaluating; memory below which
a larger batch would fit."""


@dataclass(frozen=True)
class Cause:
    """What most likely keeps the GPU idle."""

    name: str
    evidence: str
    mend: str

    @property
    def sentence(self) -> str:
        """Return it as one line."""
        return f"{self.name}: {self.evidence}. {self.mend}"


@dataclass(frozen=True)
class GpuSpan:
    """What the sampler saw of a span, beside its utilisation."""

    samples: int = 0
    throttled: Mapping[str, int] | None = None
    """Reason -> samples in which it held."""
    memory_share: float | None = None
    """Largest share of the GPU's memory in use."""
    processes: int = 0
    """Most processes on the GPU at once."""


def read_span(path: Path, start: datetime, end: datetime) -> GpuSpan:
    """Return what a sampler's file says of the time between two instants; broken lines are passed over."""
    samples, processes, share = 0, 0, None
    throttled: dict[str, int] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
            if not start <= parse_utc(record["at"]) <= end:
                continue
            used, total = record.get("memory_used_bytes"), record.get("memory_total_bytes")
            names = [str(name) for name in record.get("throttled", ())]
            running = len(record.get("processes", ()))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        samples += 1
        processes = max(processes, running)
        if used is not None and total:
            share = max(share or 0.0, used / total)
        for name in names:
            throttled[name] = throttled.get(name, 0) + 1
    return GpuSpan(samples, throttled, share, processes)


def diagnose(span: GpuSpan, spent: Mapping[Spent, float]) -> Cause:
    """Return the likely cause of low utilisation in a span of training; `spent` is where its seconds went."""
    total = sum(spent.values()) or 1.0
    loading, evaluating = spent.get(Spent.LOAD, 0.0) / total, spent.get(Spent.EVALUATE, 0.0) / total
    hot = max((span.throttled or {}).items(), key=lambda item: item[1], default=("", 0))
    if span.samples and hot[1] > THROTTLED * span.samples:
        return Cause(
            "Throttled",
            f"{hot[1] / span.samples:.0%} of the samples say: {hot[0]}",
            "Give the machine air, or lower its power limit on purpose; Nightshift never changes clocks.",
        )
    if span.processes > 1:
        return Cause(
            "Another process",
            f"{span.processes} processes were on the GPU at once",
            "Find it with `nvidia-smi` and end it before 23:00.",
        )
    if loading > STARVED:
        return Cause(
            "Data loading",
            f"{loading:.0%} of the time went into loading",
            "Encode once and keep the features on the GPU, or give the DataLoader `num_workers=2, pin_memory=True`.",
        )
    if evaluating > EVALUATING:
        return Cause(
            "Evaluation too often",
            f"{evaluating:.0%} of the time went into evaluation",
            "Evaluate every 4 epochs instead of 2 (`evaluate_every = 4` in the stage's settings).",
        )
    if span.memory_share is not None and span.memory_share < EMPTY:
        return Cause(
            "Small batch",
            f"at most {span.memory_share:.0%} of the GPU's memory was in use",
            "Double the batch (`queries_per_batch = 16` in the stage's settings) until half of the memory is in use.",
        )
    return Cause(
        "CPU-bound",
        f"neither loading ({loading:.0%}) nor evaluation ({evaluating:.0%}) nor heat explains it",
        "Python between the kernels is the likely rest: larger batches, bf16, or `torch.compile` on the model.",
    )


def spent_between(
    pieces: Sequence[tuple[datetime, datetime, Spent]], start: datetime, end: datetime
) -> dict[Spent, float]:
    """Return the seconds per class between two instants."""
    sums: dict[Spent, float] = {}
    for begin, until, spent in pieces:
        inside = (min(until, end) - max(begin, start)).total_seconds()
        if inside > 0:
            sums[spent] = sums.get(spent, 0.0) + inside
    return sums
