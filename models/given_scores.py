"""Scores that a trainer gave instead of a model, as a PoolScorer: the order is judged, nothing else can be."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.dataset import FeatureQuery, Query
from models.scorers import Request
from nightshift.given_scores import FILE
from nightshift.states import NightError

Floats = NDArray[np.float32]
Scores = NDArray[np.float64]
GIVEN = "given"


@dataclass(frozen=True)
class GivenScores:
    """A table of scores; what it does not hold has one score for the whole pool, and is counted."""

    table: Mapping[str, Scores]
    encoders: Mapping[str, str] = field(default_factory=dict)
    modalities: tuple[str, ...] = ()
    timed_path: str = "nothing: scores were given"

    def missing(self, queries: Sequence[Query] | Sequence[FeatureQuery]) -> list[str]:
        """Return the ids of the queries whose pool was not scored, or with another number of scores."""
        return [query.id for query in queries if self._scores(query) is None]

    def _scores(self, query: Query | FeatureQuery) -> Scores | None:
        found = self.table.get(query.id)
        return found if found is not None and found.size == _pool(query) else None

    def encode(self, queries: Sequence[Query] | Sequence[FeatureQuery]) -> list[Request]:
        """Return one request per query, which is its scores."""
        given = [(self._scores(query), _pool(query)) for query in queries]
        return [
            Request({GIVEN: (np.zeros(size) if one is None else _ranked(one)).astype(np.float32)[:, None]})
            for one, size in given
        ]

    def trained_on(self, query: Query | FeatureQuery) -> dict[str, Floats]:
        """Return nothing: what training read is not known."""
        return {}

    def score(self, request: Request) -> Scores:
        """Return the ranks of the given scores, shape (candidates,)."""
        return request.parts[GIVEN][:, 0].astype(np.float64)

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return the same for many requests."""
        return [self.score(request) for request in requests]


def _pool(query: Query | FeatureQuery) -> int:
    return len(query.candidates) if isinstance(query, Query) else len(query.features)


def _ranked(scores: Scores) -> Scores:
    """Return ranks from 0, equal scores alike: float32 would merge large scores that differ."""
    return np.unique(scores, return_inverse=True)[1].astype(np.float64)


def load_scorer(checkpoint: Path, device: str = "cpu") -> GivenScores:
    """Return the scores in this checkpoint.

    Raises NightError where a line is not one.
    """
    table: dict[str, Scores] = {}
    for number, line in enumerate((checkpoint / FILE).read_text().splitlines(), 1):
        try:
            record = json.loads(line)
            scores = np.asarray(record["scores"], dtype=np.float64)
            query = str(record["query_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise NightError(f"{checkpoint / FILE}, line {number}: not a query's scores: {error}") from error
        if scores.ndim != 1 or not np.isfinite(scores).all():
            raise NightError(
                f"{checkpoint / FILE}, line {number}: query {query!r} has scores that are no numbers"
            )
        if query in table:
            raise NightError(f"{checkpoint / FILE}, line {number}: query {query!r} stands there twice")
        table[query] = scores
    return GivenScores(table)
