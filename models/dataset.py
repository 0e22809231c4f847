"""Queries, candidates and where a data set lies, whatever format it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nightshift.states import NightError

AttributeValue = float | str | tuple[str, ...] | None
SPLITS = ("train", "val", "test")
MAX_GRADE = 4


class DataError(NightError):
    """Data that cannot be used: names the file, the line, and the mend."""


@dataclass(frozen=True)
class Candidate:
    """One item that may answer a query."""

    id: str
    text: str
    relevance: int
    """Graded label, 0..MAX_GRADE."""
    score_v1: float
    """The V1.0 ranking's score for this query, higher is better."""
    image: Path | None = None
    """An existing picture file, or None where the item has no picture."""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    complies: bool | None = None
    """Whether every hard constraint of the query is satisfied; None where not labelled."""


@dataclass(frozen=True)
class Query:
    """One search with its pool of candidates."""

    id: str
    text: str
    candidates: tuple[Candidate, ...]
    domain: str = ""

    def relevance(self) -> np.ndarray:
        """Return the labels, shape (candidates,), int64."""
        return np.array([candidate.relevance for candidate in self.candidates], dtype=np.int64)

    def scores_v1(self) -> np.ndarray:
        """Return the V1.0 scores, shape (candidates,), float64."""
        return np.array([candidate.score_v1 for candidate in self.candidates], dtype=np.float64)


@dataclass(frozen=True)
class FeatureQuery:
    """One query of a LETOR file: features instead of text and pictures."""

    id: str
    features: np.ndarray
    """Shape (documents, features), float32."""
    relevance: np.ndarray
    """Shape (documents,), int64."""


@dataclass(frozen=True)
class Problem:
    """Something wrong in the data: where it is, what it is, what to do."""

    where: str
    """`file:line` or `file:line id`."""
    what: str
    mend: str
    kind: str
    """missing_image, duplicate_id, not_finite, empty_query, path_leaves_folder, oversized_image, ..."""
    fatal: bool
    """True: the data set is refused. False: the named item is set aside, and counted."""


@dataclass(frozen=True)
class DataSource:
    """A checked data set, laid out as one file per split so that the test labels stay sealed."""

    kind: str
    """"multimodal" or "letor"."""
    name: str
    origin: Path
    """What the person named, or the generated folder."""
    splits: Mapping[str, Path]
    """train, val, test -> a .jsonl file (multimodal) or a LETOR .txt file."""
    images: Path | None
    """Folder that the `image` paths are relative to; None where no item has a picture."""
    facts: Mapping[str, float | str] = field(default_factory=dict)
    """What is known of it: best reachable nDCG per subset of modalities, limits of what may be claimed."""
    set_aside: tuple[Problem, ...] = ()
