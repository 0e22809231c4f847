"""Feature matrices of (query, candidate) pairs for boosted trees, fitted on TRAIN only.

Missing values are NaN, which the trees handle; every `in_pool:` column is the same column
standardised within the query's pool. Labels and `complies` are never read for a feature of an
unseen query.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.dataset import Candidate, Query
from models.ranker_profile import BLOCKS, Profile, fit_profile
from models.ranker_words import (
    Lexicon,
    attribute_words,
    cosine,
    document_of,
    fit_lexicon,
    share_found,
    trigrams_of,
    words_of,
)

Floats = NDArray[np.float32]
SPACE_FILE, PROFILES_FILE = "features.json", "features.npz"
LEXICAL = ("tfidf_text", "tfidf_item", "trigrams_item", "query_in_text", "query_in_item", "text_in_query")
SCORE_FUSION = "score_fusion"


class PoolScores(Protocol):
    """An earlier night's model: its scores per query become one more column."""

    def __call__(self, queries: Sequence[Query]) -> list[NDArray[np.float64]]:
        """Return one array of scores per query."""
        ...


@dataclass(frozen=True)
class FeatureSpace:
    """The fitted columns."""

    words: Lexicon
    trigrams: Lexicon
    textual: tuple[str, ...]
    """Attributes that are strings or lists of strings somewhere in train."""
    numeric: tuple[str, ...]
    """Attributes that are numbers somewhere in train."""
    has_domain: bool
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    """Block -> learned match."""
    fusion: PoolScores | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """Return what is read: text always, attributes and image where train has them."""
        attributes = ("attributes",) if self.textual or self.numeric else ()
        return ("text", *attributes, *(("image",) if "image" in self.profiles else ()))

    @property
    def encoders(self) -> dict[str, str]:
        """Return, per modality, what turned it into numbers."""
        names = {
            "text": "TF-IDF of words and letter trigrams, ridge from query words",
            "attributes": "word overlap, raw numbers, ridge from query words",
            "image": "colour and edge statistics, ridge from query words",
        }
        fusion = ", score of the earlier night's fusion model" if self.fusion else ""
        features = f"score_v1 and {len(self.names) - 1} pair features fitted on train{fusion}"
        return {"features": features, **{name: names[name] for name in self.modalities}}

    @property
    def names(self) -> tuple[str, ...]:
        """Return the column names, in order."""
        ranked = self._relative
        attributes = [f"in_query:{name}" for name in self.textual]
        attributes += [f"number:{name}" for name in self.numeric]
        attributes += [f"missing:{name}" for name in self._attributes]
        domain = ["domain_in_item"] if self.has_domain else []
        return (*ranked, *(f"in_pool:{name}" for name in ranked), *attributes, *domain)

    @property
    def _relative(self) -> tuple[str, ...]:
        fusion = (SCORE_FUSION,) if self.fusion else ()
        return ("score_v1", *LEXICAL, *(f"match:{block}" for block in self.profiles), *fusion)

    @property
    def _attributes(self) -> tuple[str, ...]:
        return tuple(sorted({*self.textual, *self.numeric}))

    def matrices(self, queries: Sequence[Query]) -> list[Floats]:
        """Return one matrix per query, shape (candidates, names)."""
        matches = [[p.match(query, self.words) for p in self.profiles.values()] for query in queries]
        return self._assemble(queries, matches)

    def _assemble(self, queries: Sequence[Query], matches: Sequence[list[Floats]]) -> list[Floats]:
        fusion = [[scores] for scores in self.fusion(queries)] if self.fusion else [[] for _ in queries]
        return [
            self._matrix(query, np.column_stack([*learned, *earlier]) if learned or earlier else None)
            for query, learned, earlier in zip(queries, matches, fusion, strict=True)
        ]

    def _matrix(self, query: Query, learned: NDArray[np.float64] | None) -> Floats:
        lexical = np.array([self._lexical(query.text, candidate) for candidate in query.candidates])
        parts = [query.scores_v1()[:, None], lexical] + ([learned] if learned is not None else [])
        relative = np.hstack(parts)
        own = np.array([self._own(query, candidate) for candidate in query.candidates])
        return np.hstack([relative, standardised(relative), own]).astype(np.float32)

    def _lexical(self, text: str, candidate: Candidate) -> list[float]:
        asked, said, item = words_of(text), words_of(candidate.text), document_of(candidate)
        weights = self.words.vector(asked)
        return [
            cosine(weights, self.words.vector(said)),
            cosine(weights, self.words.vector(words_of(item))),
            cosine(self.trigrams.vector(trigrams_of(text)), self.trigrams.vector(trigrams_of(item))),
            share_found(asked, said),
            share_found(asked, words_of(item)),
            share_found(said, asked),
        ]

    def _own(self, query: Query, candidate: Candidate) -> list[float]:
        asked, values = words_of(query.text), candidate.attributes
        said = {name: attribute_words(values.get(name)) for name in self.textual}
        found = [share_found(words, asked) if words else np.nan for words in said.values()]
        numbers = [_number(values.get(name)) for name in self.numeric]
        missing = [float(values.get(name) is None) for name in self._attributes]
        domain = [share_found(words_of(query.domain), words_of(document_of(candidate)))]
        return [*found, *numbers, *missing, *(domain if self.has_domain else [])]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def standardised(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each column minus its mean over the rows, in units of its spread; 0 where it is constant."""
    known = np.isfinite(columns)
    count = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, columns, 0.0) - np.where(known, columns, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, centred**2, 0.0).sum(axis=0) / count)
    scaled: NDArray[np.float64] = np.where(known, centred, np.nan) / np.where(spread > 1e-12, spread, 1.0)
    return scaled


def fit_features(
    queries: Sequence[Query], fusion: PoolScores | None = None
) -> tuple[FeatureSpace, list[Floats]]:
    """Return the feature space, and the training matrices with their own labels left out of every match."""
    items = {candidate.id: candidate for query in queries for candidate in query.candidates}
    documents = [document_of(item) for item in items.values()] + [query.text for query in queries]
    words = fit_lexicon(words_of(document) for document in documents)
    fitted = {block: pair for block in BLOCKS if (pair := fit_profile(block, queries, words))}
    values = [pair for item in items.values() for pair in item.attributes.items()]
    space = FeatureSpace(
        words=words,
        trigrams=fit_lexicon(trigrams_of(document) for document in documents),
        textual=tuple(sorted({name for name, value in values if isinstance(value, str | tuple)})),
        numeric=tuple(sorted({name for name, value in values if isinstance(value, int | float)})),
        has_domain=any(query.domain for query in queries),
        profiles={block: profile for block, (profile, _) in fitted.items()},
        fusion=fusion,
    )
    left_out = [[matches[at] for _, matches in fitted.values()] for at in range(len(queries))]
    return space, space._assemble(queries, left_out)


def save_features(space: FeatureSpace, folder: Path) -> None:
    """Write the fitted columns as JSON and arrays, without pickle; the fusion model is saved by its owner."""
    description = {
        "words": {"idf": space.words.idf, "unseen": space.words.unseen},
        "trigrams": {"idf": space.trigrams.idf, "unseen": space.trigrams.unseen},
        "textual": space.textual,
        "numeric": space.numeric,
        "has_domain": space.has_domain,
        "profiles": {
            block: {"columns": profile.columns, "query_words": profile.query_words}
            for block, profile in space.profiles.items()
        },
    }
    (folder / SPACE_FILE).write_text(json.dumps(description))
    arrays = {
        f"{block}.{name}": array
        for block, profile in space.profiles.items()
        for name, array in (
            ("centre", profile.centre),
            ("spread", profile.spread),
            ("weights", profile.weights),
        )
    }
    np.savez(folder / PROFILES_FILE, **arrays)  # type: ignore[arg-type]


def load_features(folder: Path, fusion: PoolScores | None = None) -> FeatureSpace:
    """Return the feature space that `save_features` wrote."""
    stored = json.loads((folder / SPACE_FILE).read_text())
    with np.load(folder / PROFILES_FILE, allow_pickle=False) as arrays:
        profiles = {
            block: Profile(
                block,
                tuple(known["columns"]),
                tuple(known["query_words"]),
                *(arrays[f"{block}.{name}"] for name in ("centre", "spread", "weights")),
            )
            for block, known in stored["profiles"].items()
        }
    return FeatureSpace(
        words=Lexicon(**stored["words"]),
        trigrams=Lexicon(**stored["trigrams"]),
        textual=tuple(stored["textual"]),
        numeric=tuple(stored["numeric"]),
        has_domain=stored["has_domain"],
        profiles=profiles,
        fusion=fusion,
    )
