"""Several kinds of ranker as one PoolScorer: the sum of their scores, each standardised within the pool."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.dataset import FeatureQuery, Query
from models.ensemble_parts import Part, load_part
from models.ranker import Parameters, Ranker, load_ranker, save_ranker
from models.ranker_features import standardised
from models.scorers import Request
from nightshift.states import NightError

Floats = NDArray[np.float32]
Scores = NDArray[np.float64]
FILE = "ensemble.json"
TREES = "lambdamart"
"""LightGBM's members, the kind that `Ranker` holds."""
WORDS = {TREES: "LightGBM", "yetirank": "CatBoost", "network": "a listwise network"}


@dataclass(frozen=True)
class Ensemble:
    """A loaded ensemble."""

    trees: Ranker
    """LightGBM's bag; also what turns queries into features."""
    parts: tuple[Part, ...]
    recipe: tuple[str, ...]
    """The kinds whose scores are summed; `lambdamart` may be left out."""

    @property
    def encoders(self) -> Mapping[str, str]:
        """Return what turned the raw inputs into features."""
        return self.trees.encoders

    @property
    def modalities(self) -> tuple[str, ...]:
        """Return what is read; empty for feature files."""
        return self.trees.modalities

    @property
    def timed_path(self) -> str:
        """Return what one timed request covers."""
        return f"features given: {' + '.join(WORDS[kind] for kind in self.recipe)} on the pool"

    def encode(self, queries: Sequence[Query] | Sequence[FeatureQuery]) -> list[Request]:
        """Return one request per query, as `Ranker.encode`."""
        return self.trees.encode(queries)

    def trained_on(self, query: Query | FeatureQuery) -> dict[str, Floats]:
        """Return the features of this pool, as `Ranker.trained_on`."""
        return self.trees.trained_on(query)

    def score(self, request: Request) -> Scores:
        """Return the scores of one pool, shape (candidates,)."""
        return self.score_matrices([request.parts["features"]])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return the scores of many pools."""
        return self.score_matrices([request.parts["features"] for request in requests])

    def score_matrices(self, matrices: Sequence[Floats]) -> list[Scores]:
        """Return the scores of each feature matrix, shape (candidates,) each."""
        if not matrices:
            return []
        rows = np.concatenate(matrices) if len(matrices) > 1 else matrices[0]
        ends = np.cumsum([len(matrix) for matrix in matrices])[:-1]
        kinds = [part.scores(rows) for part in self.parts if part.kind in self.recipe]
        summed = [np.zeros(len(matrix)) for matrix in matrices]
        if TREES in self.recipe:
            summed = [standardised(s[:, None])[:, 0] for s in self.trees.score_matrices(matrices)]
        if not kinds:
            return summed
        others = np.split(np.column_stack(kinds), ends)
        return [mine + standardised(pool).sum(axis=1) for mine, pool in zip(summed, others, strict=True)]


def save_ensemble(ensemble: Ensemble, parameters: Parameters, folder: Path) -> None:
    """Write everything that scoring from raw inputs needs into this folder."""
    save_ranker(ensemble.trees, parameters, folder)
    described = {
        "recipe": list(ensemble.recipe),
        "parts": {part.kind: len(part.members) for part in ensemble.parts},  # type: ignore[attr-defined]
    }
    (folder / FILE).write_text(json.dumps(described))
    for part in ensemble.parts:
        part.save(folder)


def load_ensemble(checkpoint: Path, device: str = "cpu") -> tuple[Ensemble, Parameters]:
    """Return the ensemble of a checkpoint, and the parameters of its LightGBM members.

    Raises NightError where a file is missing or not readable.
    """
    trees, parameters = load_ranker(checkpoint, device)
    try:
        described = json.loads((checkpoint / FILE).read_text())
        parts = tuple(load_part(kind, count, checkpoint) for kind, count in described["parts"].items())
    except (OSError, ValueError, KeyError) as error:
        raise NightError(
            f"{checkpoint}: not a whole ensemble ({error}); take an earlier checkpoint"
        ) from error
    return Ensemble(trees, parts, tuple(described["recipe"])), parameters


def load_scorer(checkpoint: Path, device: str = "cpu") -> Ensemble:
    """Return the ensemble of a checkpoint, ready to score; only a fusion column uses `device`."""
    return load_ensemble(checkpoint, device)[0]
