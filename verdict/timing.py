"""Latency by the judge's own clock: distinct requests, one at a time, each call synchronised."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from itertools import count as count_from

import numpy as np
from pydantic import JsonValue
from threadpoolctl import threadpool_limits

from models.dataset import Query
from models.scorers import PoolScorer, Request
from nightshift.instant import boottime_s
from verdict.statistics import percentile_upper_bound

CALLS = 1000
TEXT_CALLS = 100
"""From the bare text, where that is not what the plan asks about: printed, never judged."""
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


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch, FAISS and BLAS, where they are loaded, compute on one core inside."""
    torch, faiss = sys.modules.get("torch"), sys.modules.get("faiss")
    before = torch.get_num_threads() if torch else 0, faiss.omp_get_max_threads() if faiss else 0
    if torch:
        torch.set_num_threads(1)
    if faiss:
        faiss.omp_set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        if torch:
            torch.set_num_threads(before[0])
        if faiss:
            faiss.omp_set_num_threads(before[1])


def time_calls(calls: Sequence[Callable[[], object]], path: str, warm_up: int = 0) -> Latency:
    """Return the latency of these calls on one core.

    The first `warm_up` calls are made unmeasured, once: calls that remember what they were asked are not
    timed on it. Without them the first few calls are repeated.
    """
    before, calls = (calls[:warm_up], calls[warm_up:]) if warm_up else (calls[:WARM_UP], calls)
    taken_ms = np.empty(len(calls))
    with one_thread():
        for call in before:
            call()
        for number, call in enumerate(calls):
            begin = boottime_s()
            call()
            taken_ms[number] = (boottime_s() - begin) * 1000
    p50, p95, p99 = (float(np.percentile(taken_ms, q)) for q in (50, 95, 99))
    return Latency(p50, p95, percentile_upper_bound(taken_ms, 0.95), p99, len(calls), path)


def time_scorer(scorer: PoolScorer, requests: Sequence[Request], seed: int) -> Latency:
    """Return the latency of ranking 30 candidates, over 1,000 distinct (query, pool) requests."""
    pool = list(mixed_requests(requests, CALLS, seed))
    return time_calls([lambda r=request: scorer.score(r) for request in pool], scorer.timed_path)  # type: ignore[misc]


def scores_alike(scorer: PoolScorer, requests: Sequence[Request], some: int = 20) -> bool:
    """Return whether the call that is timed gives the scores that were judged: no cache, no answer too early."""
    few = requests[:some]
    together = scorer.score_many(few)
    for request, judged in zip(few, together, strict=True):
        alone, again = (np.asarray(scorer.score(request), dtype=np.float64) for _ in range(2))
        largest = max(1.0, float(np.abs(judged).max(initial=0.0)))
        if (
            max(np.abs(alone - judged).max(initial=0.0), np.abs(again - judged).max(initial=0.0))
            > 1e-3 * largest
        ):
            return False
    return True


def distinct_texts(texts: Sequence[str], count: int) -> list[str]:
    """Return so many different search texts: the given ones, then pairs of them, then numbered ones."""
    distinct = list(dict.fromkeys(texts))
    pairs = (
        f"{a} {b}"
        for step in range(1, len(distinct))
        for a, b in zip(distinct, distinct[step:], strict=False)
    )
    known = set(distinct)
    more = (text for text in chain(pairs, _numbered(distinct)) if text not in known)
    return [*distinct, *islice(more, max(0, count - len(distinct)))][:count]


def _numbered(texts: Sequence[str]) -> Iterator[str]:
    for number in count_from(2):
        yield from (f"{text} {number}" for text in texts)


def time_texts(scorer: PoolScorer, queries: Sequence[Query], calls: int) -> Latency:
    """Return the latency from the bare text, encoder included: no text was encoded before."""
    known = len({query.text for query in queries})
    texts = distinct_texts([query.text for query in queries], known + WARM_UP + calls)[known:]
    asked = [
        Query("", text, queries[number % len(queries)].candidates[:POOL]) for number, text in enumerate(texts)
    ]
    path = f"bare text given: {scorer.encoders.get('text', 'text features')}, then as above"
    return time_calls([lambda q=query: scorer.score(scorer.encode([q])[0]) for query in asked], path, WARM_UP)  # type: ignore[misc]


def latency_facts(latency: Latency, text: Latency | None = None) -> dict[str, JsonValue]:
    """Return what is printed of a latency, and of the one from the bare text beside it."""
    facts: dict[str, JsonValue] = {
        "p50_ms": latency.p50_ms,
        "p95_ms": latency.p95_ms,
        "p95_upper_ms": latency.p95_upper_ms,
        "p99_ms": latency.p99_ms,
        "calls": latency.calls,
        "path": latency.path,
    }
    if text:
        facts |= {"text_p50_ms": text.p50_ms, "text_p95_ms": text.p95_ms, "text_path": text.path}
    return facts
