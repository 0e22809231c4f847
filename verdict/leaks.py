"""Does the test split stand in training too? By ids, by words, by what the pools hold, by pictures."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from models.dataset import FeatureQuery, Query
from verdict.pictures import copied_items
from verdict.reasons import Reason, pause, stop

Splits = Mapping[str, Sequence[Query] | Sequence[FeatureQuery]]
NO_WORD = re.compile(r"[\W_]+")
FEW = 0.02
"""Up to this share what is in both is left out of the test, recomputed and said; above it the night is not
believed."""
SAME_SPLIT = 0.5
"""Validation only chooses; above this share it is the training split under another name."""
SAME_POOL = 0.5
"""Queries with the same words are one query where their pools share at least this much."""


@dataclass
class Leaks:
    """What test and training share."""

    reasons: list[Reason] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    """Test queries that are not judged."""
    lines: list[str] = field(default_factory=list)
    """What was looked at, for the evening."""
    warnings: list[str] = field(default_factory=list)


def find_leaks(splits: Splits) -> Leaks:
    """Return what the test split shares with train and val."""
    found = Leaks()
    for name in ("train", "val"):
        _same_split(splits[name], splits["test"], name, found)
        if not found.reasons:
            _duplicates(splits[name], splits["test"], name, found)
    if not found.reasons:
        _same_split(splits["train"], splits["val"], "train", found, "val")
    if not found.reasons:
        _pictures(splits, found)
    return found


def _same_split(
    first: Sequence[Query] | Sequence[FeatureQuery],
    second: Sequence[Query] | Sequence[FeatureQuery],
    name: str,
    found: Leaks,
    other: str = "test",
) -> None:
    """STOP where one split holds a good part of the other: a path given twice, or a copied file."""
    known = {_content(query) for query in first}
    shared = [query for query in second if _content(query) in known]
    limit = FEW if other == "test" else SAME_SPLIT
    if shared and len(shared) > limit * len(second):
        found.reasons.append(
            stop(
                f"{len(shared)} of {len(second)} {other} queries stand in {name} with the same candidates, "
                f"{shared[0].id!r} among them",
                "Give each query to one split (15 min), then run `nightshift check` on the data (1 min).",
            )
        )
    elif shared and other == "test":
        found.left_out |= {query.id for query in shared}
        found.warnings.append(f"{len(shared)} test queries stand in {name} too; judged without them")
    elif shared:
        found.lines.append(
            f"{len(shared)} of {len(second)} {other} queries stand in {name} too: selection only"
        )


def _content(query: Query | FeatureQuery) -> str:
    if isinstance(query, FeatureQuery):
        order = np.lexsort(query.features.T[::-1])
        return hashlib.sha256(query.features[order].tobytes()).hexdigest()
    items = sorted((folded(c.text), c.image.name if c.image else "", c.id) for c in query.candidates)
    return hashlib.sha256(repr((folded(query.text), items)).encode()).hexdigest()


@lru_cache(maxsize=200_000)
def folded(text: str) -> str:
    """Return a text without differences of case, white space and punctuation."""
    return " ".join(NO_WORD.split(text.casefold())).strip()


def _duplicates(
    train: Sequence[Query] | Sequence[FeatureQuery],
    test: Sequence[Query] | Sequence[FeatureQuery],
    name: str,
    found: Leaks,
) -> None:
    """The same words, or nearly, over pools that are mostly the same, are the same query."""
    asked: dict[str, list[set[str]]] = {}
    for query in train:
        if isinstance(query, Query):
            asked.setdefault(sorted_words(query.text), []).append(_pool(query))
    same, words_only = [], 0
    for query in test:
        pools = asked.get(sorted_words(query.text), []) if isinstance(query, Query) else []
        if isinstance(query, Query) and any(_shared(pool, _pool(query)) >= SAME_POOL for pool in pools):
            same.append(query.id)
        elif pools:
            words_only += 1
    _tell_duplicates(same, words_only, len(test), name, found)


def _tell_duplicates(same: list[str], words_only: int, total: int, name: str, found: Leaks) -> None:
    if words_only:
        found.lines.append(
            f"{words_only} of {total} test queries have the words of a {name} query, over other items: kept"
        )
    if len(same) > FEW * total:
        found.reasons.append(
            stop(
                f"{len(same)} of {total} test queries are copies of {name} queries, {same[0]!r} among them",
                "Give each query to one split (15 min), then run `nightshift check` on the data (1 min).",
            )
        )
    elif new := set(same) - found.left_out:
        found.left_out |= new
        found.warnings.append(f"{len(new)} test queries are copies of {name} queries; judged without them")


def sorted_words(text: str) -> str:
    """Return a text's folded words in alphabetical order: what a query asks, however it is put."""
    return " ".join(sorted(folded(text).split()))


def _pool(query: Query) -> set[str]:
    """Return what names the candidates by content: pictures where there are any, else words and attributes."""
    return {f"{folded(c.text)} {sorted(c.attributes.items())}" for c in query.candidates}


def _shared(first: set[str], second: set[str]) -> float:
    return len(first & second) / max(1, min(len(first), len(second)))


def _pictures(splits: Splits, found: Leaks) -> None:
    """A picture of a training item on another item of the test tells what the item is."""
    same, total = copied_items([*splits["train"], *splits["val"]], splits["test"])
    if total:
        found.lines.append(f"pictures of {total} test items against those of training: {len(same)} copies")
    if len(same) > FEW * max(1, total):
        found.reasons.append(
            pause(
                f"{len(same)} of {total} test items show the picture of a training item, {min(same)!r} among them",
                "Give items with one picture to one split (15 min), then run `nightshift check` (1 min).",
            )
        )
    elif same:
        affected = {
            q.id for q in splits["test"] if isinstance(q, Query) and any(c.id in same for c in q.candidates)
        }
        found.left_out |= affected
        found.warnings.append(
            f"{len(same)} test items show the picture of a training item; "
            f"judged without the {len(affected)} queries that have them"
        )


def class_counts(queries: Sequence[Query] | Sequence[FeatureQuery]) -> dict[int, int]:
    """Return grade -> candidates that have it."""
    labels: Counter[int] = Counter()
    for query in queries:
        values = query.relevance() if isinstance(query, Query) else query.relevance
        labels.update(int(value) for value in values)
    return dict(sorted(labels.items()))
