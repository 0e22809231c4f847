"""Pictures that stand on items of two splits: by content, and up to re-encoding."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.dataset import FeatureQuery, Query

SIDE, SAME, FLAT = 16, 0.995, 4.0
"""Thumbnail of 16 x 16 colours; correlation above which two are one picture (re-encoded or resized pictures
keep .998; of three million pairs of different drawings of one thing one reached .991); pictures with less
contrast tell nothing."""
ROWS_AT_ONCE, MOST = 512, 20_000
"""Thumbnails compared at once; pictures that get one: beyond that many only equal bytes are found."""


@dataclass(frozen=True)
class _Pictures:
    """What the pictures of some queries show."""

    exact: dict[str, set[str]]
    """Content hash -> ids of the items."""
    thumbnails: NDArray[np.float32]
    """Shape (pictures with contrast, 768), each of mean 0 and length 1."""
    owners: list[set[str]]
    """Ids of the items, one entry per thumbnail."""


def copied_items(
    learned: Iterable[Query | FeatureQuery], asked: Iterable[Query | FeatureQuery]
) -> tuple[set[str], int]:
    """Return the asked items that show the picture of one other, learned item, and how many have a picture."""
    known, seen = _hashed(learned), _hashed(asked)
    same = _near(known, seen)
    for digest, items in seen.exact.items():
        if tells(known.exact.get(digest, set()), items):
            same |= items
    return same, len({item for items in seen.exact.values() for item in items})


def tells(learned: set[str], asked: set[str]) -> bool:
    """Return whether one picture marks an item: a stock picture of many items, or one item in both, does not."""
    return len(learned) == 1 and len(asked) == 1 and learned != asked


def _hashed(queries: Iterable[Query | FeatureQuery]) -> _Pictures:
    exact: dict[str, set[str]] = {}
    shown: dict[str, Path] = {}
    seen: dict[Path, str] = {}
    for query in queries:
        for item in query.candidates if isinstance(query, Query) else ():
            if item.image is None or not item.image.is_file():
                continue
            if item.image not in seen:
                seen[item.image] = hashlib.sha256(item.image.read_bytes()).hexdigest()
            exact.setdefault(seen[item.image], set()).add(item.id)
            shown.setdefault(seen[item.image], item.image)
    small = {digest: _known(path, digest) for digest, path in islice(shown.items(), MOST)}
    kept = {digest: values for digest, values in small.items() if values is not None}
    table = np.array(list(kept.values()), dtype=np.float32).reshape(len(kept), 3 * SIDE * SIDE)
    return _Pictures(exact, table, [exact[digest] for digest in kept])


@lru_cache(maxsize=50_000)
def _known(path: Path, _digest: str) -> NDArray[np.float32] | None:
    return thumbnail(path)


def thumbnail(path: Path) -> NDArray[np.float32] | None:
    """Return a picture as 768 numbers of mean 0 and length 1, or None where it cannot be read or is flat."""
    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    except (OSError, ValueError):
        return None
    values = np.asarray(small, dtype=np.float32).ravel()
    if values.std() < FLAT:
        return None
    centred = values - values.mean()
    return np.asarray(centred / np.linalg.norm(centred))


def _near(learned: _Pictures, asked: _Pictures) -> set[str]:
    """Return the test items whose picture is, up to re-encoding, that of one training item."""
    same: set[str] = set()
    for start in range(0, len(asked.owners), ROWS_AT_ONCE) if learned.owners else ():
        alike = asked.thumbnails[start : start + ROWS_AT_ONCE] @ learned.thumbnails.T
        for row, column in zip(*np.nonzero(alike > SAME), strict=True):
            items = asked.owners[start + int(row)]
            if tells(learned.owners[int(column)], items):
                same |= items
    return same
