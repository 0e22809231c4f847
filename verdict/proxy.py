"""A cheap stand-in for tonight's model: how much do per-query differences from V1.0 vary on these data?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from models.attribute_features import attribute_words
from models.bm25 import BM25
from models.dataset import Candidate, FeatureQuery, Query
from models.metrics import has_ranking, ndcg_per_query
from verdict.criteria import top_compliance
from verdict.leaks import folded

Floats = NDArray[np.float64]
CROSSES, MOST_WORDS = 2**16, 24
FEWEST = 5
"""Validation queries with a ranking below which nothing is said of the spread."""


@dataclass(frozen=True)
class Proxy:
    """The stand-in, on queries it was not trained on."""

    differences: Floats
    """nDCG@10 minus V1.0's, per query."""
    discordant: float | None
    """Share of queries whose top item's compliance differs from V1.0's; None where it is not labelled."""


def stand_in(
    train: Sequence[Query] | Sequence[FeatureQuery],
    val: Sequence[Query] | Sequence[FeatureQuery],
    v1_train: Sequence[Floats],
    v1_val: Sequence[Floats],
) -> Proxy | None:
    """Return a ridge regression's differences from V1.0, or None where there is too little to learn from.

    Trained on train and asked on val, and on each half of train and asked on the other: one validation
    split of some dozen queries would say little of the spread.
    """
    learned, asked = _usable(train, v1_train), _usable(val, v1_val)
    first, second = learned[::2], learned[1::2]
    if min(len(first), len(second), len(asked)) < FEWEST:
        return None
    parts = [_asked(learned, asked), _asked(first, second), _asked(second, first)]
    known = [part.discordant for part in parts if part.discordant is not None]
    return Proxy(np.concatenate([p.differences for p in parts]), float(np.mean(known)) if known else None)


Pairs = Sequence[tuple[Query | FeatureQuery, Floats]]


def _usable(queries: Sequence[Query] | Sequence[FeatureQuery], v1: Sequence[Floats]) -> Pairs:
    """Return the queries whose labels admit an nDCG, with V1.0's scores."""
    everyone: list[Query | FeatureQuery] = [*queries]
    return [(q, scores) for q, scores in zip(everyone, v1, strict=True) if has_ranking(_labels(q))]


def _asked(learned: Pairs, asked: Pairs) -> Proxy:
    """Return the differences on `asked` of a model trained on `learned`; each with V1.0's scores."""
    from sklearn.linear_model import Ridge  # here: it takes a second of every process of a night

    labels = [_labels(query) for query, _ in learned]
    centred = np.concatenate([own - own.mean() for own in labels])
    model = Ridge(alpha=1.0, solver="sparse_cg", max_iter=200).fit(_columns([q for q, _ in learned]), centred)
    queries, v1 = [query for query, _ in asked], [scores for _, scores in asked]
    own = [_labels(query) for query in queries]
    scores = np.split(model.predict(_columns(queries)), np.cumsum([label.size for label in own])[:-1])
    return Proxy(ndcg_per_query(scores, own) - ndcg_per_query(v1, own), _discordant(queries, scores, v1))


def _labels(query: Query | FeatureQuery) -> NDArray[np.int64]:
    return query.relevance() if isinstance(query, Query) else query.relevance


def _columns(queries: Sequence[Query | FeatureQuery]) -> csr_matrix:
    """Return the columns of every candidate, pool after pool: none of V1.0, tonight's model has it not."""
    from sklearn.feature_extraction import FeatureHasher

    if isinstance(queries[0], FeatureQuery):
        pools = [query.features.astype(np.float64) for query in queries if isinstance(query, FeatureQuery)]
        return csr_matrix(np.concatenate([_centred(pool) for pool in pools]))
    searches = [query for query in queries if isinstance(query, Query)]
    plain = np.concatenate([_centred(_plain(query)) for query in searches])
    crossed = FeatureHasher(CROSSES, input_type="string", alternate_sign=False).transform(
        words for query in searches for words in _crossed(query)
    )
    return hstack([csr_matrix(plain), 0.3 * crossed]).tocsr()


def _centred(table: Floats) -> Floats:
    spread = table.std(axis=0)
    return np.asarray((table - table.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def _plain(query: Query) -> Floats:
    """Return plain text search and the count of search words met, shape (candidates, 2)."""
    asked = set(folded(query.text).split())
    met = [len(asked & set(folded(_words(item)).split())) for item in query.candidates]
    found = np.asarray(BM25([item.text for item in query.candidates]).scores([query.text]), dtype=np.float64)[
        0
    ]
    return np.column_stack([found, np.array(met, dtype=np.float64)])


def _words(item: Candidate) -> str:
    return f"{item.text} {attribute_words(item.attributes)}"


def _crossed(query: Query) -> Iterator[list[str]]:
    """Yield per candidate its words, and every pair of a search word and a word of its own."""
    asked = folded(query.text).split()[:MOST_WORDS]
    for item in query.candidates:
        own = folded(_words(item)).split()[:MOST_WORDS]
        yield [*own, *(f"{word} {other}" for word in asked for other in own)]


def _discordant(
    queries: Sequence[Query | FeatureQuery], new: Sequence[Floats], old: Sequence[Floats]
) -> float | None:
    differ = []
    for query, after, before in zip(queries, new, old, strict=True):
        if not isinstance(query, Query):
            return None
        pair = top_compliance(after, query), top_compliance(before, query)
        if pair[0] is None or pair[1] is None:
            return None
        differ.append(pair[0] != pair[1])
    return float(np.mean(differ))
