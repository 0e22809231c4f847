"""nDCG@k, the one implementation; the judge checks it against an independent library.

Gain 2^relevance - 1, discount 1/log2(rank + 1), ties by expectation over every order of the tied
documents (McSherry and Najork 2008), so that the order of the input never matters. A query without
a relevant document, or with one grade only, has no nDCG: it is left out on both sides and counted.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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
    """Return nDCG@k per query, shape (queries,), NaN where a query admits none."""
    return np.array([ndcg_at_k(s, r, k) for s, r in zip(scores, relevance, strict=True)])


def mean_ndcg(scores: Sequence[Floats], relevance: Sequence[NDArray[np.int64]], k: int = 10) -> float:
    """Return the mean nDCG@k over the queries that admit one, or NaN where none does."""
    values = ndcg_per_query(scores, relevance, k)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
