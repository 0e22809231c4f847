"""Latency by the judge's own clock: distinct requests, one at a time, each call synchronised."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.scorers import Request, Scorer
from nightshift.instant import boottime_s
from verdict.statistics import percentile_upper_bound

CALLS = 1000
WARM_UP = 50
POOL = 30


@dataclass(frozen=True)
class Latency:
    """Milliseconds per request."""

    p50_ms: float
    p95_ms: float
    p95_upper_ms: float
    """95 % upper confidence bound of the 95th percentile."""
    p99_ms: float
    calls: int
    path: str


def mixed_requests(requests: Sequence[Request], count: int, seed: int) -> Iterator[Request]:
    """Yield distinct requests: one query with a pool of 30 drawn from two queries' candidates."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        first = requests[number % len(requests)]
        second = requests[int(rng.integers(len(requests)))]
        rows = {name: np.concatenate([first.parts[name], second.parts[name]]) for name in first.parts}
        available = len(next(iter(rows.values())))
        chosen = rng.choice(available, size=min(POOL, available), replace=False)
        parts = {name: np.ascontiguousarray(part[chosen]) for name, part in rows.items()}
        yield Request(parts, first.query)


def time_calls(calls: Sequence[Callable[[], object]], path: str) -> Latency:
    """Return the latency of these calls, the first few repeated unmeasured as a warm-up."""
    for call in calls[:WARM_UP]:
        call()
    taken_ms = np.empty(len(calls))
    for number, call in enumerate(calls):
        begin = boottime_s()
        call()
        taken_ms[number] = (boottime_s() - begin) * 1000
    p50, p95, p99 = (float(np.percentile(taken_ms, q)) for q in (50, 95, 99))
    return Latency(p50, p95, percentile_upper_bound(taken_ms, 0.95), p99, len(calls), path)


def time_scorer(scorer: Scorer, requests: Sequence[Request], seed: int) -> Latency:
    """Return the latency of ranking 30 candidates, over 1,000 distinct (query, pool) requests."""
    pool = list(mixed_requests(requests, CALLS, seed))
    return time_calls([lambda r=request: scorer.score(r) for request in pool], scorer.timed_path)  # type: ignore[misc]
