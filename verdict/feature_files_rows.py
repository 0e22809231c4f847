"""Vectors gathered from rows of which some may not fit, and what a table of them is called."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST_ROWS, FEWEST_COLUMNS = 2, 8


@dataclass(frozen=True)
class FeatureTable:
    """Vectors found in one place of one file."""

    name: str
    """File and place, such as "items.npz:clip_vec" or "gallery.db:items.clip_vec"."""
    ids: tuple[str, ...]
    """What names each row, empty where nothing does."""
    vectors: Floats
    """Shape (rows, width); values may be anything a float can be."""
    unreadable: int
    """Rows set aside: no vector, or one of another width."""
    how: str
    """How they were stored and read, in one phrase."""


def gather(
    name: str, ids: Sequence[str], rows: Sequence[Floats | None], how: str, lost: int = 0
) -> FeatureTable | None:
    """Return the rows of the commonest width as a table, None where fewer than two are 8 wide or wider.

    `ids` name the rows one by one, or are empty; `lost` rows were set aside before.
    """
    widths = Counter(row.size for row in rows if row is not None)
    if not widths:
        return None
    width, count = widths.most_common(1)[0]
    if count < FEWEST_ROWS or width < FEWEST_COLUMNS:
        return None
    kept = [place for place, row in enumerate(rows) if row is not None and row.size == width]
    vectors = np.stack([np.ravel(row) for place in kept if (row := rows[place]) is not None])
    named = tuple(ids[place] for place in kept) if len(ids) == len(rows) else ()
    return FeatureTable(name, named, vectors.astype(np.float64), len(rows) - count + lost, how)


def whole(name: str, ids: Sequence[str], matrix: Floats, how: str) -> FeatureTable | None:
    """Return a two-dimensional array as a table, None where it is too small to be one."""
    if matrix.ndim != 2 or matrix.shape[0] < FEWEST_ROWS or matrix.shape[1] < FEWEST_COLUMNS:
        return None
    named = tuple(ids) if len(ids) == len(matrix) else ()
    return FeatureTable(name, named, np.asarray(matrix, dtype=np.float64), 0, how)


def names_of(values: Sequence[object]) -> tuple[str, ...]:
    """Return values as ids where they are texts or whole numbers, no two the same; else nothing."""
    if not all(isinstance(value, str | int | np.integer) and not isinstance(value, bool) for value in values):
        return ()
    texts = tuple(str(value) for value in values)
    return texts if len(set(texts)) == len(texts) else ()
