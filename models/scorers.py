"""What a checkpoint must be able to do so that the judge can score it from raw inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.dataset import FeatureQuery, Query
from nightshift.checkpoint import read_state
from nightshift.states import NightError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Request:
    """One encoded (query, pool): what is there when a search arrives at the ranker."""

    parts: Mapping[str, Floats]
    """Per modality (image, text, attributes) or `features`: shape (candidates, width)."""
    query: Floats | None = None
    """Shape (width,), or None where the features already contain the query."""


class PoolScorer(Protocol):
    """A loaded model that ranks one query's pool."""

    encoders: Mapping[str, str]
    """Modality -> the encoder that really ran."""
    modalities: tuple[str, ...]
    """What it reads: "image", "text", "attributes"; empty for feature files."""
    timed_path: str
    """What one timed request covers, in words."""

    def encode(self, queries: Sequence[Query] | Sequence[FeatureQuery]) -> list[Request]:
        """Return one request per query, from raw inputs; repeated content is encoded once."""
        ...

    def trained_on(self, query: Query | FeatureQuery) -> dict[str, Floats]:
        """Return what training read of this pool, made anew from raw inputs: part -> (candidates, width)."""
        ...

    def score(self, request: Request) -> NDArray[np.float64]:
        """Return the scores of one request, shape (candidates,), the device synchronised."""
        ...

    def score_many(self, requests: Sequence[Request]) -> list[NDArray[np.float64]]:
        """Return the scores of many requests, batched: equal to `score` up to rounding."""
        ...


LOADERS = {
    "fusion": "models.fusion_scorer",
    "ranker": "models.ranker",
    "ensemble": "models.ensemble",
    "scores": "models.given_scores",
}
"""`kind` in a checkpoint's state.json -> the module whose `load_scorer(checkpoint, device)` loads it."""


def load_scorer(checkpoint: Path, device: str = "cpu") -> PoolScorer:
    """Return the model in this checkpoint, ready to score.

    Raises NightError where the checkpoint is of a kind that cannot rank a pool.
    """
    kind = str(read_state(checkpoint).get("kind", ""))
    if kind not in LOADERS:
        raise NightError(f"{checkpoint}: kind {kind!r} cannot be scored; known: {', '.join(LOADERS)}")
    scorer: PoolScorer = import_module(LOADERS[kind]).load_scorer(checkpoint, device)
    return scorer
