"""Vectors in single cells of a column: raw floats, .npy bytes, pickled arrays or JSON lists."""

import json
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from verdict.feature_files_numpy import MAGIC, PICKLED, NotNumpy, numpy_arrays
from verdict.pickled_arrays import arrays_in_pickle

Floats = NDArray[np.float64]
Kind = np.dtype[np.floating]
Cell = bytes | str | None
Reader = Callable[[bytes | str], Floats | None]
SINGLE: Kind = np.dtype("<f4")
DOUBLE: Kind = np.dtype("<f8")
SAMPLED, LARGEST, MOST_DECADES = 200, 1e9, 2.5
"""Cells looked at to choose; a value beyond the second, or magnitudes spread wider than the third number of
powers of ten, belong to bytes that are no floats of this kind."""
ENDS_A_PICKLE, STARTS_A_PICKLE = b".", (b"\x80", b"c", b"(", b"]", b"}")


def vectors_in(cells: Sequence[Cell]) -> tuple[list[Floats | None], str]:
    """Return one vector per cell, None where it has none, and how they were stored; empty where no way fits.

    The way that reads most of a sample is taken for all: the cells of a column are of one kind.
    """
    filled = [cell for cell in cells if cell]
    sample = filled[:: max(1, len(filled) // SAMPLED)]
    ways: list[tuple[str, Reader]] = [(".npy bytes", _npy), (PICKLED, _pickled), ("JSON lists", _json)]
    if (kind := raw_kind([cell for cell in sample if isinstance(cell, bytes)])) is not None:
        ways.append((f"raw {8 * kind.itemsize}-bit floats", lambda cell: _raw(cell, kind)))
    counts = [sum(reader(cell) is not None for cell in sample) for _, reader in ways]
    best = int(np.argmax(counts))
    if 2 * counts[best] <= len(sample):
        return [], ""
    how, reader = ways[best]
    return [reader(cell) if cell else None for cell in cells], how


def raw_kind(cells: Sequence[bytes]) -> Kind | None:
    """Return whether cells hold raw little-endian 32-bit or 64-bit floats, None where they hold neither.

    Both can fit the length. Read with the wrong type, magnitudes spread over many powers of ten, if they are
    finite at all; so the type with the smaller spread of log10 |value| is taken.
    """
    length = Counter(map(len, cells)).most_common(1)[0][0] if cells else 0
    joined = b"".join(cell for cell in cells if len(cell) == length)
    spreads: dict[float, Kind] = {}
    for kind in (SINGLE, DOUBLE):
        if length and length % kind.itemsize == 0:
            spreads[_decades(np.frombuffer(joined, dtype=kind))] = kind
    if (
        length
        and length % DOUBLE.itemsize == 0
        and not np.count_nonzero(np.frombuffer(joined, dtype=SINGLE)[::2])
    ):
        return DOUBLE  # of few digits, as from 16 bits: every second half of them is empty
    best = min(spreads, default=np.inf)
    return spreads[best] if best < MOST_DECADES else None


def _decades(values: NDArray[np.floating]) -> float:
    """Return the standard deviation of log10 |value|, infinite where a value is no sane float."""
    if not np.isfinite(values).all() or np.abs(values).max() > LARGEST:
        return float("inf")
    sizes = np.abs(values[values != 0].astype(np.float64))
    return float(np.log10(sizes).std()) if sizes.size else 0.0


def _raw(cell: bytes | str, kind: Kind) -> Floats | None:
    if isinstance(cell, str) or len(cell) % kind.itemsize:
        return None
    return np.frombuffer(cell, dtype=kind).astype(np.float64)


def _npy(cell: bytes | str) -> Floats | None:
    if isinstance(cell, str) or not cell.startswith(MAGIC):
        return None
    try:
        arrays = numpy_arrays(cell).arrays
    except NotNumpy:
        return None
    return np.ravel(arrays[0]) if arrays else None


def _pickled(cell: bytes | str) -> Floats | None:
    if isinstance(cell, str) or not cell.startswith(STARTS_A_PICKLE) or not cell.endswith(ENDS_A_PICKLE):
        return None
    try:
        arrays = arrays_in_pickle(cell)
    except ValueError:
        return None
    return np.ravel(max(arrays, key=np.size)) if arrays else None


def _json(cell: bytes | str) -> Floats | None:
    if cell[:1] not in ("[", b"["):
        return None
    try:
        return np.ravel(np.array(json.loads(cell), dtype=np.float64))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
