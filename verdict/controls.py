"""Checks in seconds that the metric, the labels and the baseline can answer the question at all."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.metrics import has_ranking, ndcg_per_query, random_ndcg_at_k

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
AGREEMENT = 1e-9
SOME, DRAWS = 100, 20
"""Queries and repetitions of the controls that are drawn at random."""


def independent_ndcg(scores: Floats, relevance: Labels, k: int = 10) -> float:
    """Return nDCG@k by scikit-learn: gain 2^relevance - 1, ties averaged."""
    from sklearn.metrics import ndcg_score  # here: it takes a second of every process of a night

    gains = np.exp2(relevance.astype(np.float64)) - 1.0
    return float(ndcg_score(gains[None, :], np.asarray(scores, dtype=np.float64)[None, :], k=k))


def metric_disagreement(scores: Sequence[Floats], relevance: Sequence[Labels]) -> float:
    """Return the largest difference between our nDCG@10 and the independent one, over all queries."""
    worst = 0.0
    ours = ndcg_per_query(scores, relevance)
    for value, s, r in zip(ours, scores, relevance, strict=True):
        if has_ranking(r):
            worst = max(worst, abs(float(value) - independent_ndcg(s, r)))
    return worst


def metric_failures(scores: Sequence[Floats], relevance: Sequence[Labels], seed: int) -> list[str]:
    """Return what is wrong with metric or labels; empty where every control holds.

    Oracle = 1, reverse < random, a monotone transform and a shuffle of the rows change nothing,
    two implementations agree to 1e-9.
    """
    usable = [(s, r) for s, r in zip(scores, relevance, strict=True) if has_ranking(r)]
    if not usable:
        return ["no query has labels that tell a good order from a bad one; check the label key"]
    failures = []
    sealed_scores, sealed_labels = [s for s, _ in usable], [r for _, r in usable]
    oracle = ndcg_per_query([r.astype(np.float64) for r in sealed_labels], sealed_labels)
    if abs(oracle - 1).max() > AGREEMENT:
        failures.append(f"the oracle ranking scores {oracle.mean():.4f} instead of 1")
    failures += _chance_failures(sealed_labels, seed)
    reverse = ndcg_per_query([-r.astype(np.float64) for r in sealed_labels], sealed_labels)
    chance = np.array([random_ndcg_at_k(r) for r in sealed_labels])
    if reverse.mean() >= chance.mean():
        failures.append("the reversed oracle is not below random")
    disagreement = metric_disagreement(sealed_scores, sealed_labels)
    if disagreement > AGREEMENT:
        failures.append(f"two nDCG implementations differ by {disagreement:.1e}")
    return failures + _invariance_failures(sealed_scores, sealed_labels, seed)


def _invariance_failures(scores: list[Floats], labels: list[Labels], seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    base = ndcg_per_query(scores, labels)
    orders = [rng.permutation(s.size) for s in scores]
    shuffled = ndcg_per_query(
        [s[o] for s, o in zip(scores, orders, strict=True)],
        [r[o] for r, o in zip(labels, orders, strict=True)],
    )
    ranked = ndcg_per_query([np.unique(s, return_inverse=True)[1].astype(np.float64) for s in scores], labels)
    failures = []
    if abs(base - shuffled).max() > AGREEMENT:
        failures.append("shuffling the candidates changes nDCG")
    if abs(base - ranked).max() > AGREEMENT:
        failures.append("a monotone transform of the scores changes nDCG")
    return failures


def _chance_failures(labels: list[Labels], seed: int) -> list[str]:
    """A random ranking, and the oracle over shuffled labels, score what chance expects, within five errors."""
    rng = np.random.default_rng([seed, 1])
    some = labels[:SOME]
    expected = float(np.mean([random_ndcg_at_k(r) for r in some]))
    drawn = [ndcg_per_query([rng.normal(size=r.size) for r in some], some).mean() for _ in range(DRAWS)]
    shuffled = [
        ndcg_per_query([r.astype(np.float64) for r in some], [rng.permutation(r) for r in some]).mean()
        for _ in range(DRAWS)
    ]
    failures = []
    for name, values in (("a random ranking", drawn), ("the oracle over shuffled labels", shuffled)):
        error = float(np.std(values, ddof=1)) / np.sqrt(DRAWS) + AGREEMENT
        if abs(float(np.mean(values)) - expected) > 5 * error:
            failures.append(f"{name} scores {np.mean(values):.4f}, chance expects {expected:.4f}")
    return failures


def head_room(v1_ndcg: float) -> float:
    """Return how much nDCG@10 is left above the baseline."""
    return 1.0 - v1_ndcg


def constant_share(scores: Sequence[Floats]) -> float:
    """Return the share of queries whose candidates all have one score."""
    return float(np.mean([np.ptp(s) == 0 for s in scores])) if scores else 1.0
