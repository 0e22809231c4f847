"""nDCG@k, the one implementation; the judge checks it against an independent library.

Gain 2^relevance - 1, discount 1/log2(rank + 1), ties by expectation over every order of the tied
documents (McSherry and Najork 2008), so that the order of the input never matters. A query without
a relevant document, or with one grade only, has no nDCG: it is left out on both sides and counted.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST_TOGETHER, BLOCK = 4, 2_000_000
"""Queries of one length that are worth stacking, and scores that are stacked at once."""


def has_ranking(relevance: Sequence[int] | NDArray[np.int64]) -> bool:
    """Return whether these labels can tell a good order from a bad one."""
    labels = np.asarray(relevance)
    return bool(labels.size) and bool(labels.max() > 0) and bool(labels.max() != labels.min())


def _discounts(k: int, documents: int) -> Floats:
    ranks = np.arange(1, documents + 1, dtype=np.float64)
    return np.where(ranks <= k, 1.0 / np.log2(ranks + 1.0), 0.0)


def dcg_at_k(scores: Sequence[float] | Floats, relevance: Sequence[int] | NDArray[np.int64], k: int) -> float:
    """Return the DCG@k of ranking by `scores`, in expectation over ties."""
    values = np.asarray(scores, dtype=np.float64)
    gains = np.exp2(np.asarray(relevance, dtype=np.float64)) - 1.0
    order = np.argsort(-values, kind="stable")
    values, gains = values[order], gains[order]
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    sizes = np.diff(np.r_[starts, values.size])
    mean_gain = np.add.reduceat(gains, starts) / sizes
    discount = np.add.reduceat(_discounts(k, values.size), starts)
    return float(mean_gain @ discount)


def ndcg_at_k(
    scores: Sequence[float] | Floats, relevance: Sequence[int] | NDArray[np.int64], k: int = 10
) -> float:
    """Return the nDCG@k of one query, 0..1, or NaN where the labels admit none.

    Raises ValueError where a score is not finite or the lengths differ.
    """
    values = np.asarray(scores, dtype=np.float64)
    labels = np.asarray(relevance, dtype=np.int64)
    if values.shape != labels.shape:
        raise ValueError(f"{values.size} scores for {labels.size} labels")
    if not np.isfinite(values).all():
        raise ValueError("a score is not finite")
    if not has_ranking(labels):
        return float("nan")
    return dcg_at_k(values, labels, k) / dcg_at_k(labels.astype(np.float64), labels, k)


def random_ndcg_at_k(relevance: Sequence[int] | NDArray[np.int64], k: int = 10) -> float:
    """Return the expected nDCG@k of a random order: what every document tied would score."""
    return ndcg_at_k(np.zeros(len(relevance)), relevance, k)


def ndcg_per_query(scores: Sequence[Floats], relevance: Sequence[NDArray[np.int64]], k: int = 10) -> Floats:
    """Return nDCG@k per query, shape (queries,), NaN where a query admits none.

    Queries of equal length are computed together. Raises ValueError as `ndcg_at_k`.
    """
    values = np.empty(len(scores))
    groups: dict[tuple[int, int], list[int]] = {}
    for row, (s, r) in enumerate(zip(scores, relevance, strict=True)):
        groups.setdefault((len(s), len(r)), []).append(row)
    for (length, labels), rows in groups.items():
        together = length == labels and length > k + 1 and len(rows) >= FEWEST_TOGETHER
        at_once = max(1, BLOCK // max(1, length)) if together else 1
        for start in range(0, len(rows), at_once):
            some = rows[start : start + at_once]
            if not together:
                values[some[0]] = ndcg_at_k(scores[some[0]], relevance[some[0]], k)
                continue
            stacked = np.array([scores[i] for i in some], dtype=np.float64)
            values[some] = _ndcg_block(stacked, np.array([relevance[i] for i in some]), k)
    return values


def _ndcg_block(scores_BN: Floats, labels_BN: NDArray[np.int64], k: int) -> Floats:
    """Return nDCG@k of B queries of N > k + 1 documents each; rows tied at the top are computed one by one."""
    if not np.isfinite(scores_BN).all():
        raise ValueError("a score is not finite")
    top = np.argpartition(scores_BN, -(k + 1), axis=1)[:, -(k + 1) :]
    values = np.take_along_axis(scores_BN, top, axis=1)
    order = np.argsort(-values, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    found = np.take_along_axis(labels_BN, np.take_along_axis(top, order[:, :k], axis=1), axis=1)
    ideal = -np.sort(-np.partition(labels_BN, -k, axis=1)[:, -k:], axis=1)
    discounts = _discounts(k, k)
    usable = (ideal[:, 0] > 0) & (labels_BN.min(axis=1) != ideal[:, 0])
    best = (np.exp2(ideal) - 1.0) @ discounts
    result = np.where(usable, ((np.exp2(found) - 1.0) @ discounts) / np.where(usable, best, 1.0), np.nan)
    for row in np.flatnonzero(usable & (values[:, 1:] == values[:, :-1]).any(axis=1)):
        result[row] = ndcg_at_k(scores_BN[row], labels_BN[row], k)
    return result


def mean_ndcg(scores: Sequence[Floats], relevance: Sequence[NDArray[np.int64]], k: int = 10) -> float:
    """Return the mean nDCG@k over the queries that admit one, or NaN where none does."""
    values = ndcg_per_query(scores, relevance, k)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
