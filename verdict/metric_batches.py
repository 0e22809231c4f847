"""The queries that a person's metric is tried on: batches whose value is known, or must equal another's.

A ranking batch has queries of 30 candidates, 4 to 9 of them relevant, so that precision@10 and recall@10
differ; a compliance batch has 12 candidates, about half of which comply.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from verdict.metric_form import Case, Floats, Labels

Batches = Mapping[str, Sequence[Case]]
QUERIES, POOL, EMPTY, SMALL_POOL = 40, 30, 5, 12


def _draw(rng: np.random.Generator, binary: bool) -> tuple[Floats, Labels]:
    labels = np.zeros(POOL, dtype=np.int64)
    relevant = int(rng.integers(4, 10))
    labels[:relevant] = rng.integers(1, 4, relevant)
    labels[0] = 3  # so that a metric which counts only the best grade has something to find
    rng.shuffle(labels)
    noisy = 1 / (1 + np.exp(1 - labels - rng.normal(size=POOL)))
    return noisy, (labels > 0).astype(np.int64) if binary else labels


def _rows(case: Case, order: NDArray[np.int64]) -> Case:
    return Case(case.scores[order], case.labels[order])


def _same_order(scores: Floats) -> Floats:
    """Return other scores in the same order, 0..1, their distances changed."""
    return ((np.argsort(np.argsort(scores)) + 1.0) / (scores.size + 1)) ** 3


def _lost(labels: Labels) -> Floats:
    """Return scores that show the best item first and every other relevant one last."""
    scores = np.linspace(0.4, 0.6, labels.size) - 0.3 * (labels > 0)
    scores[labels.argmax()] = 0.9
    return scores


def ranking_batches(seed: int, binary: bool = False) -> dict[str, list[Case]]:
    """Return every batch that a ranking metric is tried on; `binary` labels are 0 and 1."""
    rng = np.random.default_rng(seed)
    good = [Case(*_draw(rng, binary)) for _ in range(QUERIES)]
    oracle = [replace(c, scores=(c.labels + rng.uniform(0, 0.5, POOL)) / 4) for c in good]
    sorted_rows = [_rows(c, np.argsort(-c.labels, kind="stable")) for c in good]
    mixed = [rng.permutation(POOL) for _ in good]
    flat = [replace(c, scores=np.full(POOL, 0.5)) for c in sorted_rows]
    coarse = [replace(c, scores=np.round(c.scores, 1)) for c in sorted_rows]
    return {
        "good": good,
        "random": [replace(c, scores=rng.uniform(0, 1, POOL)) for c in good],
        "oracle": oracle,
        "reverse": [replace(c, scores=1 - c.scores) for c in oracle],
        "transform": [replace(c, scores=_same_order(c.scores)) for c in good],
        "rows": [_rows(c, order) for c, order in zip(good, mixed, strict=True)],
        "shift": [replace(c, scores=c.scores + 0.1) for c in good],
        "negative": [replace(c, scores=c.scores - 5) for c in good],
        "again": list(good),
        "other labels": [replace(c, labels=rng.permutation(c.labels)) for c in oracle],
        "tied": flat,
        "tied rows": [_rows(c, order) for c, order in zip(flat, mixed, strict=True)],
        "coarse": coarse,
        "coarse rows": [_rows(c, order) for c, order in zip(coarse, mixed, strict=True)],
        "lost": [replace(c, scores=_lost(c.labels)) for c in good],
        "empty": [replace(c, labels=np.zeros(POOL, dtype=np.int64)) for c in good[:EMPTY]],
    }


def _sorted_rows(case: Case) -> Case:
    return _rows(case, np.argsort(-case.labels, kind="stable"))


def _flipped_but_top(case: Case) -> Case:
    labels = 1 - case.labels
    labels[case.scores.argmax()] = case.labels[case.scores.argmax()]
    return replace(case, labels=labels)


def _one_top(rng: np.random.Generator) -> Case:
    """Return a query whose top item complies, and others of either sort."""
    scores, labels = rng.uniform(0, 1, SMALL_POOL), rng.integers(0, 2, SMALL_POOL)
    order = np.argsort(-scores)
    labels[order[:3]] = (1, 0, 1)  # never all alike, so that each control can tell them apart
    return Case(scores, labels)


def compliance_batches(seed: int) -> dict[str, list[Case]]:
    """Return every batch that a compliance metric is tried on; labels are 1 where the item complies."""
    rng = np.random.default_rng(seed)
    yes = [_one_top(rng) for _ in range(QUERIES)]
    no = [replace(c, labels=1 - c.labels) for c in yes]
    good = [pair[int(rng.integers(2))] for pair in zip(yes, no, strict=True)]
    mixed = [rng.permutation(SMALL_POOL) for _ in good]
    flat = [replace(_sorted_rows(c), scores=np.full(SMALL_POOL, 0.5)) for c in good]
    return {
        "good": good,
        "yes": yes,
        "no": no,
        "transform": [replace(c, scores=_same_order(c.scores)) for c in good],
        "rows": [_rows(c, order) for c, order in zip(good, mixed, strict=True)],
        "shift": [replace(c, scores=c.scores + 0.1) for c in good],
        "negative": [replace(c, scores=c.scores - 5) for c in good],
        "again": list(good),
        "others": [_flipped_but_top(c) for c in good],
        "tied": flat,
        "tied rows": [_rows(c, order) for c, order in zip(flat, mixed, strict=True)],
        "empty": [replace(c, labels=np.zeros(SMALL_POOL, dtype=np.int64)) for c in good[:EMPTY]],
    }


def _joint_rows(case: Case, order: NDArray[np.int64]) -> Case:
    base = case.scores if case.base is None else case.base
    return Case(case.scores[order], case.labels[order], base[order])


def gain_batches(seed: int, binary: bool = False) -> dict[str, list[Case]]:
    """Return every batch that a function of (scores, baseline, labels) is tried on."""
    rng = np.random.default_rng(seed)
    plain = ranking_batches(seed, binary)
    noise = [rng.uniform(0, 1, POOL) for _ in plain["good"]]

    def against(batch: str) -> list[Case]:
        return [replace(c, base=base) for c, base in zip(plain[batch], noise, strict=False)]

    better = against("oracle")
    good = against("good")
    return {
        "good": good,
        "self": [replace(c, base=c.scores) for c in plain["good"]],
        "better": better,
        "worse": [replace(c, scores=c.base, base=c.scores) for c in better if c.base is not None],
        "chance": against("random"),
        "transform": against("transform"),
        "rows": [_joint_rows(c, rng.permutation(POOL)) for c in good],
        "shift": against("shift"),
        "negative": against("negative"),
        "again": list(good),
        "other labels": [replace(c, labels=rng.permutation(c.labels)) for c in better],
        "empty": against("empty"),
    }


def whole_sets(batches: Batches) -> dict[str, list[Case]]:
    """Return sets of queries that tell how a function of many queries adds them up."""
    good, half = list(batches["good"]), len(batches["oracle"]) // 2
    return {
        "all": good,
        "mixed": good[::-1],
        "with empty": good + list(batches["empty"]),
        "half lost": [*batches["oracle"][:half], *batches["reverse"][half:]],
    }
