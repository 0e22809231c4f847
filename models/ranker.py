"""A bag of LambdaMART models as a PoolScorer: LightGBM's text files and JSON, never pickle."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
from numpy.typing import NDArray

from models.dataset import FeatureQuery, Query
from models.ranker_features import FeatureSpace, load_features, save_features, standardised
from models.ranker_fusion import FUSION_FOLDER, FusionScores
from models.scorers import Request
from nightshift.states import NightError

Floats = NDArray[np.float32]
Scores = NDArray[np.float64]
RANKER_FILE = "ranker.json"
TIMED_PATH = "features given: boosted trees on the pool"
Parameters = Mapping[str, float | int]


@dataclass(frozen=True)
class Ranker:
    """A loaded bag; its score is the mean of its members' scores, each standardised within the pool."""

    members: tuple[lightgbm.Booster, ...]
    space: FeatureSpace | None
    """The fitted columns, or None where the data already are features."""
    width: int
    """Columns that the trees were trained on."""
    timed_path: str = TIMED_PATH

    @property
    def encoders(self) -> Mapping[str, str]:
        """Return what turned the raw inputs into features."""
        return self.space.encoders if self.space else {"features": "the file's own, as they are"}

    @property
    def modalities(self) -> tuple[str, ...]:
        """Return what is read; empty for feature files."""
        return self.space.modalities if self.space else ()

    def encode(self, queries: Sequence[Query] | Sequence[FeatureQuery]) -> list[Request]:
        """Return one request per query; columns that training did not have are dropped, absent ones 0.

        Raises NightError where the queries are not of the kind that the model was trained on.
        """
        searches = [query for query in queries if isinstance(query, Query)]
        files = [query for query in queries if isinstance(query, FeatureQuery)]
        if files if self.space else searches:
            trained, given = ("queries with text", "a feature file") if self.space else ("features", "text")
            raise NightError(f"this ranker was trained on {trained} and got {given}; give it the same kind")
        matrices = (
            self.space.matrices(searches)
            if self.space
            else [fitted_to(q.features, self.width) for q in files]
        )
        return [Request({"features": matrix}) for matrix in matrices]

    def trained_on(self, query: Query | FeatureQuery) -> dict[str, Floats]:
        """Return the features of this pool, made anew from raw inputs: `features` -> (candidates, width)."""
        some: list[Query] | list[FeatureQuery] = [query]  # type: ignore[list-item,assignment]
        return {"features": np.asarray(self.encode(some)[0].parts["features"])}

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
        raw = np.column_stack([member.predict(rows, num_threads=1) for member in self.members])
        return [standardised(pool).mean(axis=1) for pool in np.split(raw, ends)]


def fitted_to(features: Floats, width: int) -> Floats:
    """Return the features with columns dropped at the end, or zeros added there, to be `width` wide."""
    missing = width - features.shape[1]
    return features[:, :width] if missing <= 0 else np.pad(features, ((0, 0), (0, missing)))


def ranker_from(texts: Sequence[str], space: FeatureSpace | None, width: int) -> Ranker:
    """Return the bag of these LightGBM model texts."""
    return Ranker(tuple(lightgbm.Booster(model_str=text) for text in texts), space, width)


def save_ranker(ranker: Ranker, parameters: Parameters, folder: Path) -> None:
    """Write everything that scoring from raw inputs needs into this folder."""
    for number, member in enumerate(ranker.members):
        (folder / f"member-{number}.txt").write_text(member.model_to_string())
    space = ranker.space
    described = {
        "members": len(ranker.members),
        "width": ranker.width,
        "parameters": dict(parameters),
        "columns": list(space.names) if space else [],
        "fusion": bool(space and space.fusion),
    }
    (folder / RANKER_FILE).write_text(json.dumps(described, indent=1))
    if space:
        save_features(space, folder)
        if isinstance(space.fusion, FusionScores):
            space.fusion.save(folder)


def load_ranker(checkpoint: Path, device: str = "cpu") -> tuple[Ranker, Parameters]:
    """Return the ranker of a checkpoint, and the parameters its members were grown with.

    Raises NightError where a file is missing or not readable.
    """
    try:
        described = json.loads((checkpoint / RANKER_FILE).read_text())
        texts = [(checkpoint / f"member-{at}.txt").read_text() for at in range(described["members"])]
        fusion = FusionScores(checkpoint / FUSION_FOLDER, device) if described["fusion"] else None
        space = load_features(checkpoint, fusion) if described["columns"] else None
    except (OSError, ValueError, KeyError) as error:
        raise NightError(f"{checkpoint}: not a whole ranker ({error}); take an earlier checkpoint") from error
    return ranker_from(texts, space, described["width"]), described["parameters"]


def load_scorer(checkpoint: Path, device: str = "cpu") -> Ranker:
    """Return the ranker of a checkpoint, ready to score; only a fusion column uses `device`."""
    return load_ranker(checkpoint, device)[0]
