"""nDCG@k, the one implementation; the judge checks it against an independent library.

Gain 2^relevance - 1, discount 1/log2(rank + 1), ties by expectation over every order of the tied
documents (McSherry and Najork 2008), so that the order of the input never matters. A query without
a relevant document, or with one grade only, has no nDCG: it is left out on both sides and counted.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST_TOGETHER, BLOCK, WORTH_TORCH, MOST_GRADES = 4, 2_000_000, 500_000, 15
"""Queries of one length that are worth stacking; scores computed at once; scores that are worth torch's
selection; labels up to which grades are counted instead of sorted."""


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


def ndcg_per_query(
    scores: Sequence[Floats] | Floats, relevance: Sequence[NDArray[np.int64]] | NDArray[np.int64], k: int = 10
) -> Floats:
    """Return nDCG@k per query, shape (queries,), NaN where a query admits none.

    Queries of equal length are computed together; whole tables (queries, documents) are not even copied.
    Raises ValueError as `ndcg_at_k`.
    """
    tables = isinstance(scores, np.ndarray) and isinstance(relevance, np.ndarray) and scores.ndim == 2
    if tables and scores.shape == relevance.shape and scores.shape[1] > k + 1:  # type: ignore[union-attr]
        return _ndcg_blocks(np.asarray(scores, dtype=np.float64), np.asarray(relevance), k)
    values = np.empty(len(scores))
    groups: dict[tuple[int, int], list[int]] = {}
    for row, (s, r) in enumerate(zip(scores, relevance, strict=True)):
        groups.setdefault((len(s), len(r)), []).append(row)
    for (length, labels), rows in groups.items():
        if length == labels and length > k + 1 and len(rows) >= FEWEST_TOGETHER:
            stacked = np.array([scores[i] for i in rows], dtype=np.float64)
            values[rows] = _ndcg_blocks(stacked, np.array([relevance[i] for i in rows]), k)
        else:
            values[rows] = [ndcg_at_k(scores[i], relevance[i], k) for i in rows]
    return values


def _ndcg_blocks(scores_QN: Floats, labels_QN: NDArray[np.int64], k: int) -> Floats:
    """Return nDCG@k of Q queries of N > k + 1 documents each, some at a time so that memory stays small."""
    at_once = max(1, BLOCK // scores_QN.shape[1])
    blocks = (slice(start, start + at_once) for start in range(0, len(scores_QN), at_once))
    return np.concatenate([np.empty(0), *(_ndcg_block(scores_QN[b], labels_QN[b], k) for b in blocks)])


def _best_first(scores_BN: Floats, count: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return the `count` largest scores of each row and their columns, largest first."""
    if scores_BN.size >= WORTH_TORCH:
        from torch import from_numpy  # twice as fast as NumPy's argpartition, but a second to import

        top = from_numpy(np.ascontiguousarray(scores_BN)).topk(count, dim=1)
        return top.values.numpy(), top.indices.numpy()
    columns = np.argpartition(scores_BN, -count, axis=1)[:, -count:]
    values = np.take_along_axis(scores_BN, columns, axis=1)
    order = np.argsort(-values, axis=1)
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(columns, order, axis=1)


def _best_labels(labels_BN: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return the k largest labels of each row, largest first; few grades are counted, not sorted."""
    highest = int(labels_BN.max())
    if highest > MOST_GRADES or int(labels_BN.min()) < 0:
        return np.asarray(-np.sort(-np.partition(labels_BN, -k, axis=1)[:, -k:], axis=1))
    small, best = labels_BN.astype(np.int8), np.zeros((len(labels_BN), k), dtype=np.int64)
    for grade in range(1, highest + 1):
        count = (small >= grade).view(np.uint8).sum(axis=1, dtype=np.uint32)
        best += np.arange(k) < count[:, None]
    return best


def _ndcg_block(scores_BN: Floats, labels_BN: NDArray[np.int64], k: int) -> Floats:
    """Return nDCG@k of B queries of N > k + 1 documents each; rows tied at the top are computed one by one."""
    if not np.isfinite(scores_BN).all():
        raise ValueError("a score is not finite")
    values, columns = _best_first(scores_BN, k + 1)
    found = np.take_along_axis(labels_BN, columns[:, :k], axis=1)
    ideal = _best_labels(labels_BN, k)
    discounts = _discounts(k, k)
    usable = (ideal[:, 0] > 0) & (labels_BN.min(axis=1) != ideal[:, 0])
    best = (np.exp2(ideal) - 1.0) @ discounts
    result = np.where(usable, ((np.exp2(found) - 1.0) @ discounts) / np.where(usable, best, 1.0), np.nan)
    for row in np.flatnonzero(usable & (values[:, 1:] == values[:, :-1]).any(axis=1)):
        result[row] = ndcg_at_k(scores_BN[row], labels_BN[row], k)
    return np.asarray(result)


def mean_ndcg(scores: Sequence[Floats], relevance: Sequence[NDArray[np.int64]], k: int = 10) -> float:
    """Return the mean nDCG@k over the queries that admit one, or NaN where none does."""
    values = ndcg_per_query(scores, relevance, k)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
