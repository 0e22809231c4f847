"""A split's queries from its file as it is now, read once per content."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from models.data import letor_v1, load_letor, load_split
from models.dataset import FeatureQuery, Query
from nightshift.checkpoint import sha256_of

Queries = Sequence[Query] | Sequence[FeatureQuery]


def read_split_file(kind: str, paths: Sequence[Path], path: Path, images: Path | None) -> Queries:
    """Return one split; feature files are as wide as the widest of `paths`, all splits of the data set."""
    width = feature_width(paths) if kind == "letor" else 0
    return _load(path, str(images or ""), width, sha256_of(path))


@lru_cache(maxsize=12)
def _load(path: Path, images: str, width: int, _digest: str) -> Queries:
    return load_letor(path, width) if width else load_split(path, Path(images) if images else None)


def feature_width(paths: Sequence[Path]) -> int:
    """Return the number of features over all splits."""
    return max(_width(path, sha256_of(path)) for path in paths)


@lru_cache(maxsize=12)
def _width(path: Path, _digest: str) -> int:
    return int(load_letor(path)[0].features.shape[1])


def best_feature(train: Path, width: int) -> tuple[int, int]:
    """Return V1.0 of feature files: the column that ranks the training split best, and its sign."""
    return _best_feature(train, width, sha256_of(train))


@lru_cache(maxsize=4)
def _best_feature(train: Path, width: int, _digest: str) -> tuple[int, int]:
    return letor_v1(load_letor(train, width))
