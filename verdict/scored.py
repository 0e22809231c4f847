"""A split scored from its raw inputs: new scores, V1.0 scores and labels over the same pools."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.dataset import SPLITS, Candidate, FeatureQuery, Query
from models.metrics import has_ranking, ndcg_per_query
from models.scorers import PoolScorer, Request
from verdict.seal import Seal
from verdict.split_files import Queries, best_feature, feature_width, read_split_file

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScoredSplit:
    """Per query: the model's scores, V1.0's, and the labels."""

    queries: Sequence[Query] | Sequence[FeatureQuery]
    requests: Sequence[Request]
    new: list[Floats]
    v1: list[Floats]
    relevance: list[NDArray[np.int64]]
    left_out: frozenset[str] = frozenset()
    """Queries that stand in training too, and are not judged."""

    @property
    def usable(self) -> list[int]:
        """Positions of the queries that are judged: their labels admit an nDCG, and no training split has them."""
        kept = [query.id not in self.left_out for query in self.queries]
        return [i for i, r in enumerate(self.relevance) if kept[i] and has_ranking(r)]

    def ndcg(self, scores: Sequence[Floats]) -> Floats:
        """Return nDCG@10 over the usable queries."""
        kept = self.usable
        return ndcg_per_query([scores[i] for i in kept], [self.relevance[i] for i in kept])

    def gains(self) -> Floats:
        """Return nDCG@10(new) - nDCG@10(V1.0) per usable query."""
        return self.ndcg(self.new) - self.ndcg(self.v1)


def load_queries(seal: Seal, split: str) -> Queries:
    """Return a sealed split from its file as it is now; read once per content."""
    images = Path(seal.data.images) if seal.data.images else None
    return read_split_file(seal.data.kind, _paths(seal), Path(seal.data.splits[split].path), images)


def load_splits(seal: Seal) -> dict[str, Queries]:
    """Return all three sealed splits from their files as they are now."""
    return {name: load_queries(seal, name) for name in SPLITS}


def _paths(seal: Seal) -> list[Path]:
    return [Path(file.path) for file in seal.data.splits.values()]


def baseline(seal: Seal, queries: Sequence[Query] | Sequence[FeatureQuery]) -> tuple[list[Floats], str]:
    """Return V1.0's scores for these queries, and its name.

    In feature files V1.0 is the single feature that ranks the training split best.
    """
    if seal.data.kind != "letor":
        return [q.scores_v1() for q in queries if isinstance(q, Query)], "V1.0 (the data's own score)"
    train = Path(seal.data.splits["train"].path)
    index, sign = best_feature(train, feature_width(_paths(seal)))
    name = f"V1.0 = feature {index + 1}, {'descending' if sign > 0 else 'ascending'}, the best one on train"
    scores = [sign * q.features[:, index].astype(np.float64) for q in queries if isinstance(q, FeatureQuery)]
    return scores, name


def labels_of(queries: Sequence[Query] | Sequence[FeatureQuery]) -> list[NDArray[np.int64]]:
    """Return the labels per query."""
    return [q.relevance() if isinstance(q, Query) else q.relevance for q in queries]


def score_split(seal: Seal, scorer: PoolScorer, split: str) -> ScoredSplit:
    """Return one split, scored by the model and by V1.0 on the same pools."""
    queries = load_queries(seal, split)
    requests = scorer.encode(queries)
    v1, _ = baseline(seal, queries)
    new = [np.asarray(s, dtype=np.float64) for s in scorer.score_many(requests)]
    return ScoredSplit(queries, requests, new, v1, labels_of(queries))


def permuted(queries: Sequence[Query], modality: str, rng: np.random.Generator) -> list[Query]:
    """Return the queries with one modality permuted across all candidates of all queries.

    V1.0's score is made of the text, so it goes with the text; otherwise the text would leak back.
    """
    everyone = [candidate for query in queries for candidate in query.candidates]
    donors = iter([everyone[i] for i in rng.permutation(len(everyone))])
    return [
        replace(q, candidates=tuple(_with_donor(c, next(donors), modality) for c in q.candidates))
        for q in queries
    ]


def _with_donor(candidate: Candidate, donor: Candidate, modality: str) -> Candidate:
    if modality == "image":
        return replace(candidate, image=donor.image)
    if modality == "text":
        return replace(candidate, text=donor.text, score_v1=donor.score_v1)
    return replace(candidate, attributes=donor.attributes)
