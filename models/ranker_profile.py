"""What the items that answer a query look like, learned from TRAIN only: ridge from query words to items.

For each block (text, attributes, image) the target of a training query is the gain-weighted mean of
its items minus the mean of its pool. A candidate's match is the dot product with the prediction, the
items' columns decorrelated (as in discriminant analysis). The
training queries' own matches are leave-one-out (closed form), so that trees do not learn from a
feature that has seen its answer.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.dataset import Candidate, Query
from models.metrics import has_ranking
from models.ranker_images import IMAGE_STATISTICS, image_statistics
from models.ranker_words import Lexicon, attribute_words, words_of

Floats = NDArray[np.float32]
BLOCKS = ("text", "attributes", "image")
MOST_QUERY_WORDS = 2048
MOST_COLUMNS = 512
RIDGE = 0.3
SHRINKAGE = 1.0
SMALLEST_SPREAD = {"text": 0.1, "attributes": 0.1, "image": 0.01}
"""Keeps columns that nearly never vary (a rare word) from being blown up."""


def item_terms(block: str, candidate: Candidate) -> dict[str, float]:
    """Return the named values of a candidate in the text or attributes block."""
    if block == "text":
        return dict.fromkeys(words_of(candidate.text), 1.0)
    terms: dict[str, float] = {}
    for name, value in candidate.attributes.items():
        terms.update({f"{name}={word}": 1.0 for word in attribute_words(value)})
        if isinstance(value, int | float):
            terms[f"{name}#"] = float(value)
    return terms


@dataclass(frozen=True)
class Profile:
    """A fitted block."""

    block: str
    columns: tuple[str, ...]
    """Terms of the items; statistic numbers for images."""
    query_words: tuple[str, ...]
    centre: Floats
    """Mean over training items, shape (columns,)."""
    spread: Floats
    """Standard deviation over training items, at least SMALLEST_SPREAD, shape (columns,)."""
    weights: Floats
    """Shape (query words + 1, columns); the last row is the constant."""

    def items(self, pool: Sequence[Candidate]) -> Floats:
        """Return the standardised items, shape (candidates, columns); what is missing is 0."""
        scaled: Floats = (_raw(self.block, self.columns, pool) - self.centre) / self.spread
        return np.where(np.isfinite(scaled), scaled, np.float32(0.0))

    def match(self, query: Query, lexicon: Lexicon) -> Floats:
        """Return how well each candidate fits the query, shape (candidates,); NaN without a picture."""
        wanted = _query_vector(query, self.query_words, lexicon) @ self.weights
        return _matches(self.block, query.candidates, self.items(query.candidates), wanted)


def _matches(block: str, pool: Sequence[Candidate], items: Floats, wanted: Floats) -> Floats:
    known = np.array([block != "image" or candidate.image is not None for candidate in pool])
    return np.where(known, items @ wanted, np.nan).astype(np.float32)


def _raw(block: str, columns: Sequence[str], pool: Sequence[Candidate]) -> Floats:
    if block == "image":
        missing = np.full(IMAGE_STATISTICS, np.nan, dtype=np.float32)
        return np.stack([image_statistics(c.image) if c.image else missing for c in pool])
    empty = [np.nan if column.endswith("#") else 0.0 for column in columns]
    raw = np.tile(np.array(empty, dtype=np.float32), (len(pool), 1))
    at = {column: number for number, column in enumerate(columns)}
    for row, candidate in enumerate(pool):
        for term, value in item_terms(block, candidate).items():
            if term in at:
                raw[row, at[term]] = value
    return raw


def _query_vector(query: Query, query_words: Sequence[str], lexicon: Lexicon) -> Floats:
    weights = lexicon.vector(words_of(query.text))
    return np.array([*(weights.get(word, 0.0) for word in query_words), 0.5], dtype=np.float32)


def _most_frequent(terms: Counter[str], most: int) -> tuple[str, ...]:
    ranked = sorted((-count, term) for term, count in terms.items() if count > 1)
    return tuple(term for _, term in ranked[:most])


def _columns(block: str, items: Sequence[Candidate]) -> tuple[str, ...]:
    if block == "image":
        pictured = any(item.image for item in items)
        return tuple(str(number) for number in range(IMAGE_STATISTICS)) if pictured else ()
    return _most_frequent(Counter(term for item in items for term in item_terms(block, item)), MOST_COLUMNS)


def _target(query: Query, items: Floats) -> Floats:
    gains = np.exp2(query.relevance().astype(np.float32)) - 1.0
    contrast: Floats = gains @ items / gains.sum() - items.mean(axis=0)
    return contrast


def _ridge(inputs: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """Return the weights, and the leave-one-out prediction of every row."""
    inverse = np.linalg.inv(inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1], dtype=np.float32))
    weights: Floats = inverse @ (inputs.T @ targets)
    leverage = np.einsum("ij,jk,ik->i", inputs, inverse, inputs, optimize=True)[:, None]
    leave_one_out: Floats = (inputs @ weights - leverage * targets) / (1.0 - leverage)
    return weights, leave_one_out


def _decorrelation(items: Floats) -> Floats:
    """Return the shrunken inverse covariance of the items (as in discriminant analysis)."""
    covariance = np.cov(items, rowvar=False).reshape(items.shape[1], items.shape[1])
    inverse: Floats = np.linalg.inv(covariance + SHRINKAGE * np.eye(items.shape[1])).astype(np.float32)
    return inverse


def fit_profile(
    block: str, queries: Sequence[Query], lexicon: Lexicon
) -> tuple[Profile, list[Floats]] | None:
    """Return the profile of a block and the leave-one-out matches of the training queries.

    None where no training item has anything in this block, or no query tells good from bad.
    """
    items = [candidate for query in queries for candidate in query.candidates]
    columns = _columns(block, items)
    taught = [query for query in queries if has_ranking(query.relevance())]
    if not columns or not taught:
        return None
    raw = _raw(block, columns, items)
    centre = np.nanmean(raw, axis=0)
    spread = np.maximum(np.nanstd(raw, axis=0), SMALLEST_SPREAD[block])
    counted = Counter(word for query in queries for word in set(words_of(query.text)))
    query_words = _most_frequent(counted, MOST_QUERY_WORDS)
    unfitted = Profile(block, columns, query_words, centre, spread, np.empty((0, 0), np.float32))
    inputs = np.stack([_query_vector(query, query_words, lexicon) for query in taught])
    targets = np.stack([_target(query, unfitted.items(query.candidates)) for query in taught])
    decorrelate = _decorrelation(unfitted.items(items))
    weights, left_out = (learned @ decorrelate for learned in _ridge(inputs, targets))
    fitted = Profile(block, columns, query_words, centre, spread, weights)
    seen = dict(zip((query.id for query in taught), left_out, strict=True))
    return fitted, [_training_match(fitted, query, lexicon, seen.get(query.id)) for query in queries]


def _training_match(profile: Profile, query: Query, lexicon: Lexicon, wanted: Floats | None) -> Floats:
    if wanted is None:
        return profile.match(query, lexicon)
    return _matches(profile.block, query.candidates, profile.items(query.candidates), wanted)
