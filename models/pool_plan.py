"""What the next step of a pool test would cost: bytes and seconds, predicted from the steps before."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

MEMORY_SHARE = 0.6
"""Share of the available memory that a step may take."""
HELD_SHARE = 0.25
"""Share of it that the vectors may take beside their indexes."""
BYTES_PER_VECTOR = {"Flat": 4.0, "IVF,SQ8": 1.0, "HNSW": 4.0}
"""Per dimension; HNSW adds its links."""
HNSW_LINK_BYTES = 2 * 32 * 4 * 1.1
FIRST_BUILD_S = {"Flat": 1e-7, "IVF,SQ8": 6e-5, "HNSW": 1.2e-4}
"""Seconds per vector before anything was measured, on one of two cores."""
GROWTH = {"Flat": 1.0, "IVF,SQ8": 1.15, "HNSW": 1.15}
"""Exponent with which build time grows with the pool, at least: two measured pools may say more."""
SURE_S = 1.0
"""A build that took less says nothing of growth."""


@dataclass(frozen=True)
class PoolRow:
    """One finished point: an index over a pool."""

    size: int
    index: str
    recall_at_100: float
    """Share of exact search's first 100 that the index finds."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    bytes_per_vector: float
    build_s: float
    jittered_share: float
    """Share of the pool that are copies of real items with noise added, beyond the real ones."""
    parameters: str
    backend: str
    meets_recall_target: bool
    queries: int
    predicted_bytes: float
    predicted_s: float
    curve: tuple[tuple[str, float, float], ...] = ()
    """Effort in words, recall@100, P95 in ms: every point that was measured."""
    skipped: str = ""
    """Why the point was not measured; then every figure is 0."""
    measured_s: float = 0.0
    """Building and measuring together."""

    def record(self) -> dict[str, object]:
        """Return the row as JSON fields."""
        return asdict(self)


def index_bytes(index: str, width: int) -> float:
    """Return the memory of an index per vector."""
    return BYTES_PER_VECTOR[index] * width + (HNSW_LINK_BYTES if index == "HNSW" else 0)


def vectors_fit(size: int, width: int) -> bool:
    """Return whether the vectors themselves may be held beside an index, instead of being made anew."""
    return 4.0 * width * size < HELD_SHARE * available_bytes()


def predicted_bytes(index: str, size: int, width: int) -> float:
    """Return the memory that building an index adds."""
    return size * index_bytes(index, width)


def predicted_seconds(index: str, size: int, rows: Sequence[PoolRow]) -> float:
    """Return the seconds to build and measure this index, from the largest of its kind that was measured."""
    known = [row for row in rows if row.index == index and not row.skipped]
    if not known:
        return FIRST_BUILD_S[index] * size + 1.0
    known.sort(key=lambda row: row.size)
    last = known[-1]
    grown = float(size / last.size)
    power = GROWTH[index]
    if len(known) > 1 and known[-2].build_s >= SURE_S:
        before = known[-2]
        power = max(power, float(np.log(last.build_s / before.build_s) / np.log(last.size / before.size)))
    searching_s = max(0.0, last.measured_s - last.build_s) * (grown if index == "Flat" else grown**0.5)
    return float(last.build_s * grown**power + searching_s + 1.0)


def available_bytes() -> float:
    """Return the memory that is free for us, by /proc/meminfo; infinite where there is none."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return float("inf")


def why_skip(bytes_needed: float, seconds_needed: float, seconds_left: float) -> str:
    """Return why a step must not be tried, or an empty text."""
    allowed = MEMORY_SHARE * available_bytes()
    if bytes_needed > allowed:
        return f"needs about {bytes_needed / 1e9:.1f} GB, {allowed / 1e9:.1f} GB may be used"
    if seconds_needed > seconds_left:
        return f"needs about {seconds_needed:.0f} s, {max(0.0, seconds_left):.0f} s are left"
    return ""
