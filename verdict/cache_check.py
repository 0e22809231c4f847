"""Are yesterday's cached features those of the raw inputs? A few are encoded anew before they are used again."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.dataset import Query
from models.embedding_cache import EmbeddingCache, content_key
from models.image_features import VERSION as HAND_MADE
from models.image_features import image_features
from models.pretrained import load_text_encoder, text_encoder_source
from models.settings import FusionSettings
from nightshift.states import NightError
from verdict.reasons import Reason, stop

ITEMS = 16
AGREES = 0.99
Vectors = NDArray[np.float32]
T = TypeVar("T")


def check_cache(cache: Path, queries: Sequence[Query], seed: int) -> tuple[list[Reason], str]:
    """Return why the cached features must not be used, and what was compared, in one sentence."""
    if not (cache / "embeddings").is_dir():
        return [], ""
    pictures = sorted({c.image for q in queries for c in q.candidates if c.image})
    texts = sorted({c.text for q in queries for c in q.candidates})
    wrong = _differs(
        EmbeddingCache(cache, HAND_MADE),
        [(content_key(path.read_bytes()), path) for path in _some(pictures, seed)],
        lambda paths: np.stack([image_features(path) for path in paths]),
    )
    spoken = _differs(
        _text_cache(cache), [(content_key(t.encode()), t) for t in _some(texts, seed)], _encode_texts
    )
    found = {"picture": wrong, "text": spoken}
    reasons = [
        stop(
            f"{count[0]} of {count[1]} cached {name} features are not what the raw inputs give",
            f"Delete {cache.name}/embeddings in the runs folder (1 min); it is made anew.",
        )
        for name, count in found.items()
        if count[0]
    ]
    compared = [
        f"{count[1]} cached {name} features made anew: they agree"
        for name, count in found.items()
        if count[1]
    ]
    return reasons, "; ".join(compared)


def _some(values: Sequence[T], seed: int) -> list[T]:
    rng = np.random.default_rng(seed)
    return [
        values[i] for i in sorted(rng.choice(len(values), size=min(4 * ITEMS, len(values)), replace=False))
    ]


def _text_cache(cache: Path) -> EmbeddingCache:
    source = text_encoder_source(FusionSettings().text_encoder)
    return EmbeddingCache(cache if source else None, source or "")


def _encode_texts(texts: Sequence[str]) -> Vectors:
    source = text_encoder_source(FusionSettings().text_encoder)
    if source is None:
        raise NightError("the text encoder is not at hand")
    return np.asarray(load_text_encoder(source, "cpu")(texts), dtype=np.float32)


def _differs(
    cache: EmbeddingCache, content: Sequence[tuple[str, T]], encode: Callable[[list[T]], Vectors]
) -> tuple[int, int]:
    """Return how many cached rows differ from what is made anew, and how many were compared."""
    known = [(key, value) for key, value in content if key in cache.rows][:ITEMS]
    if not known:
        return 0, 0
    old = cache.stack([key for key, _ in known]).astype(np.float64)
    new = np.asarray(encode([value for _, value in known]), dtype=np.float64)
    if old.shape != new.shape:
        return len(known), len(known)
    length = np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1)
    cosine = (old * new).sum(axis=1) / np.where(length > 0, length, np.inf)
    return int(((cosine <= AGREES) & (length > 0)).sum()), len(known)
