"""Five published claims, worked out again by the description of how they came about.

The evaluators read the person's own data set: queries ("inspirations") with ranked candidates. They are
wrong on purpose, each in the way that the published one was; `benchmarks.history` audits them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Candidate = Mapping[str, object]
Ranking = Sequence[Candidate]
K, BOOST = 10, 0.1
WIDTH, SHOWN = 512, 3
"""Numbers in an image vector; candidates from each end of a stored list that make pairs."""
GAIN_PER_ACCURACY = 0.06
"""What pair accuracy was multiplied with: .512 x .06 = .0307."""
RIDGE = 10.0


@dataclass(frozen=True)
class Published:
    """What was reported at the time."""

    claim: str
    figure: str


PUBLISHED = {
    "ndcg": Published("V1.0 gains nDCG@10", "+0.0114"),
    "compliance": Published("V1.0 gains Compliance@1", "+0.138"),
    "fusion": Published("V2 gains nDCG@10", "+0.0307 (pair accuracy 51.2 %)"),
    "no_gain": Published("V2 gains nothing, HIGH confidence: close it", "+0.000000, CI [0, 0]"),
    "night": Published("8-hour night, complete", "74 s, 5 queries"),
}
NIGHT_TOOK_S, NIGHT_PLANNED_S = 74.0, 8 * 3600.0


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))


def own_score_ndcg(candidates: Ranking) -> float:
    """Return "nDCG@10" of a ranked list with each candidate's own score as its gain."""
    gains = [_number(candidate["score"]) for candidate in candidates[:K]]
    return _dcg(gains) / _dcg(sorted(gains, reverse=True))


def own_score_compliance(candidates: Ranking) -> float:
    """Return "Compliance@1" of a ranked list: the top item's own score."""
    return _number(candidates[0]["score"])


def missing_key_ndcg(candidates: Ranking) -> float:
    """Return nDCG@10 of a ranked list by a label that the data set does not have."""
    gains = [2 ** _number(candidate.get("relevance", 0)) - 1 for candidate in candidates]
    best = _dcg(sorted(gains, reverse=True)[:K])
    return _dcg(gains[:K]) / best if best else 0.0


def accuracy_gain(scores: Sequence[float], baseline: Sequence[float], labels: Sequence[int]) -> float:
    """Return a "gain in nDCG@10": the share of pairs that `scores` orders rightly, times a constant."""
    size = len(labels)
    pairs = [(i, j) for i in range(size) for j in range(size) if labels[i] > labels[j]]
    right = sum(scores[i] > scores[j] for i, j in pairs)
    return GAIN_PER_ACCURACY * right / len(pairs) if pairs else 0.0


def by_score(ranking: Ranking, boost: float = 0.0) -> list[Candidate]:
    """Return the candidates sorted by their stored score, a constant added to each: no model at all."""
    boosted = [{**candidate, "score": _number(candidate["score"]) + boost} for candidate in ranking]
    return sorted(boosted, key=lambda candidate: -_number(candidate["score"]))


def drawn_pictures(items: int, rng: np.random.Generator) -> Floats:
    """Return the "image vectors" of that time, shape (items, WIDTH): drawn anew at every reading."""
    return rng.standard_normal((items, WIDTH))


def _pairs(features: Floats, queries: int) -> Floats:
    """Return better minus worse of every pair, shape (queries, SHOWN squared, WIDTH)."""
    items = features.reshape(queries, 2, SHOWN, WIDTH)
    apart = items[:, 0, :, None, :] - items[:, 1, None, :, :]
    return np.asarray(apart.reshape(queries, SHOWN * SHOWN, WIDTH))


def trained_scorer(features: Floats, queries: int) -> Floats:
    """Return the weights (WIDTH,) of a linear scorer that learns to put each query's first above its last."""
    pairs = _pairs(features, queries).reshape(-1, WIDTH)
    squares = pairs.T @ pairs + RIDGE * np.eye(WIDTH)
    return np.asarray(np.linalg.solve(squares, pairs.sum(axis=0)))


def pair_accuracies(weights: Floats, features: Floats, queries: int) -> Floats:
    """Return the share of right pairs per query, shape (queries,)."""
    return np.asarray((_pairs(features, queries) @ weights > 0).mean(axis=1))


def short_night(queries: Sequence[Ranking], folder: Path) -> int:
    """Return how many queries a "whole night" scored before it called itself done; says so in `folder`.

    It keeps the trainers' contract, so that what it did can be read like any trainer's work.
    """
    # Only here, so that the evaluators above start in no time in a process of their own.
    from nightshift.events import append_line
    from nightshift.instant import wall_now

    events, done = folder / "events.jsonl", 0
    append_line(events, {"kind": "started", "at": wall_now().isoformat()})
    for ranking in queries[:5]:
        own_score_ndcg(ranking)
        done += 1
        at = wall_now().isoformat()
        append_line(
            events, {"kind": "progress", "at": at, "step": done, "samples": done, "total": len(queries)}
        )
    append_line(events, {"kind": "finished", "at": wall_now().isoformat(), "reason": "done"})
    return done
