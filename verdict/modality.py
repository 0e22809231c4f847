"""Does the model use a modality? Permute it across queries and see what it costs."""

from collections.abc import Sequence

import numpy as np

from models.dataset import Query
from models.metrics import ndcg_per_query
from models.scorers import Scorer
from verdict.finding import ModalityFinding
from verdict.scored import ScoredSplit, permuted
from verdict.statistics import N_MIN, t_interval

NEGLIGIBLE = 0.01
"""A drop whose upper bound is below this counts as NOT USED."""


def permutations_for(queries: int) -> int:
    """Return how many permutations to average: 20, fewer where the split is large and noise is small."""
    return int(np.clip(2500 // max(1, queries), 4, 20))


def judge_modality(scorer: Scorer, split: ScoredSplit, modality: str, seed: int) -> ModalityFinding:
    """Return USED, NOT USED or NOT SHOWN for one modality, from raw inputs permuted across queries."""
    queries = [query for query in split.queries if isinstance(query, Query)]
    if not _present(queries, modality):
        return ModalityFinding(state="ABSENT")
    kept = split.usable
    if len(kept) < N_MIN:
        return ModalityFinding(state="NOT_MEASURED")
    labels = [split.relevance[i] for i in kept]
    rng = np.random.default_rng(seed)
    permuted_ndcg = []
    for _ in range(permutations_for(len(queries))):
        scores = scorer.score_many(scorer.encode(permuted(queries, modality, rng)))
        permuted_ndcg.append(ndcg_per_query([np.asarray(scores[i], float) for i in kept], labels))
    drop = t_interval(split.ndcg(split.new) - np.mean(permuted_ndcg, axis=0))
    state = "USED" if drop.low > 0 else "NOT USED" if drop.high < NEGLIGIBLE else "NOT SHOWN"
    return ModalityFinding(state=state, drop=drop.mean, low=drop.low, high=drop.high)


def _present(queries: Sequence[Query], modality: str) -> bool:
    candidates = [candidate for query in queries for candidate in query.candidates]
    if modality == "image":
        return any(candidate.image is not None for candidate in candidates)
    if modality == "text":
        return any(candidate.text for candidate in candidates)
    return any(candidate.attributes for candidate in candidates)
