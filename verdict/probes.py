"""Cheap models that must NOT do well: one column alone, the words alone. Where they do, the label leaks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from models.dataset import FeatureQuery, Query
from models.metrics import has_ranking, mean_ndcg, random_ndcg_at_k
from verdict.leaks import Splits, folded
from verdict.reasons import Reason, pause, stop

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
TELLS_ALL = 0.95
"""nDCG@10 or pair accuracy of a single column, or of the words, above which they hold the label."""
MOST_QUERIES = 400
WORDS = 2**14
FEWEST = 10


@dataclass
class Probes:
    """What single columns and words tell of the label."""

    reasons: list[Reason] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    words_only: float | None = None
    """nDCG@10 on test of a model that reads the items' words and nothing of the search."""


def probe(splits: Splits) -> Probes:
    """Return what the probes find; takes about a second per thousand pools."""
    found = Probes()
    for name, accuracy in _best_columns(splits["test"]):
        found.reasons.append(
            stop(
                f"the column {name!r} alone orders {accuracy:.1%} of the test pairs as their labels do: "
                "it holds the label",
                f"Take {name!r} out of the data (5 min), then run `nightshift check` (1 min).",
            )
        )
    searches = {name: [q for q in split if isinstance(q, Query)] for name, split in splits.items()}
    if len(searches["test"]) >= FEWEST and len(searches["train"]) >= FEWEST:
        _words(searches["train"], searches["test"], found)
    return found


def pair_accuracy(values: Floats, labels: Labels) -> tuple[float, int]:
    """Return the share of pairs with different labels that the values order likewise (ties half), and how many."""
    better = labels[:, None] > labels[None, :]
    pairs = int(better.sum())
    if not pairs:
        return 0.5, 0
    apart = values[:, None] - values[None, :]
    return float(((apart > 0) & better).sum() + 0.5 * ((apart == 0) & better).sum()) / pairs, pairs


def _best_columns(queries: Sequence[Query] | Sequence[FeatureQuery]) -> Iterator[tuple[str, float]]:
    """Yield the columns that order nearly every pair of a split, ascending or descending."""
    some = queries[:MOST_QUERIES]
    right: dict[str, float] = {}
    pairs = 0
    for query in some:
        labels = query.relevance() if isinstance(query, Query) else query.relevance
        if not has_ranking(labels):
            continue
        for name, values in _columns(query):
            accuracy, counted = pair_accuracy(values, labels)
            right[name] = right.get(name, 0.0) + (accuracy - 0.5) * counted
        pairs += int((labels[:, None] > labels[None, :]).sum())
    for name, sum_of in right.items():
        accuracy = 0.5 + abs(sum_of) / max(1, pairs)
        if accuracy >= TELLS_ALL and len(some) >= FEWEST:
            yield name, accuracy


def _columns(query: Query | FeatureQuery) -> Iterator[tuple[str, Floats]]:
    """Yield every numeric column of one pool; what is missing is 0."""
    if isinstance(query, FeatureQuery):
        for number, column in enumerate(query.features.T.astype(np.float64)):
            if np.ptp(column) > 0:
                yield f"feature {number + 1}", column
        return
    names = {k for c in query.candidates for k, v in c.attributes.items() if isinstance(v, int | float)}
    for name in sorted(names):
        values = [c.attributes.get(name) for c in query.candidates]
        yield name, np.array([float(v) if isinstance(v, int | float) else 0.0 for v in values])
    texts = {k for c in query.candidates for k, v in c.attributes.items() if isinstance(v, str)}
    for name in sorted(texts):
        yield from _number_words(name, query)


def _number_words(name: str, query: Query) -> Iterator[tuple[str, Floats]]:
    """Yield a text attribute that is a number in words or digits."""
    try:
        yield name, np.array([float(str(c.attributes.get(name) or 0)) for c in query.candidates])
    except ValueError:
        return


def _words(train: Sequence[Query], test: Sequence[Query], found: Probes) -> None:
    """A model of the items' words that knows nothing of the search: what it knows, the text gives away."""
    from sklearn.linear_model import Ridge  # here: it takes a second of every process of a night

    train, test = train[:MOST_QUERIES], test[:MOST_QUERIES]
    table, labels = _word_table(train)
    model = Ridge(alpha=1.0, solver="sparse_cg", max_iter=100).fit(table, labels)
    relevance = [query.relevance() for query in test]
    ends = np.cumsum([len(query.candidates) for query in test])[:-1]
    scores = np.split(np.round(model.predict(_word_table(test)[0]), 6), ends)
    kept = [i for i, label in enumerate(relevance) if has_ranking(label)]
    if not kept:
        return
    found.words_only = mean_ndcg([scores[i] for i in kept], [relevance[i] for i in kept])
    chance = float(np.mean([random_ndcg_at_k(relevance[i]) for i in kept]))
    found.lines.append(
        f"the items' words alone, nothing of the search: nDCG@10 {found.words_only:.3f} (random {chance:.3f})"
    )
    if found.words_only >= TELLS_ALL and found.words_only > chance + (1 - chance) / 2:
        found.reasons.append(
            pause(
                f"the items' words alone tell the label (nDCG@10 {found.words_only:.3f} without the search): "
                "the text was written from it",
                "Take the words that name the label out of the texts (30 min), then run `nightshift check` (1 min).",
            )
        )


def _word_table(queries: Sequence[Query]) -> tuple[csr_matrix, Floats]:
    """Return hashed words of every candidate, and labels centred per pool.

    The search's own words stay: with them taken out, how many are left would tell how well an item matches.
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    texts = [folded(item.text) for query in queries for item in query.candidates]
    own = [query.relevance().astype(np.float64) for query in queries]
    labels = np.concatenate([label - label.mean() for label in own])
    hasher = HashingVectorizer(n_features=WORDS, alternate_sign=False, norm="l2")
    return hasher.transform(texts), labels
