"""Arrays in .npy and .npz bytes; pickled ones are located, never unpickled."""

import io
import math
import tokenize
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from nightshift.states import NightError
from verdict.feature_files_rows import FeatureTable, gather, names_of, whole
from verdict.pickled_arrays import arrays_in_pickle

Floats = NDArray[np.float64]
MAGIC = b"\x93NUMPY"
PLAIN = "plain arrays"
BROKEN_HEADER = (ValueError, TypeError, OverflowError, SyntaxError, RecursionError, tokenize.TokenError)
BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError)
PICKLED = "pickled arrays, located without executing them"


class NotNumpy(ValueError):
    """Bytes that are no whole .npy."""


@dataclass(frozen=True)
class Stored:
    """What .npy bytes hold."""

    arrays: list[Floats]
    """The array, or the arrays found in a pickled one."""
    names: tuple[str, ...]
    """The array's values where they could name rows: different texts or whole numbers in one dimension."""
    objects: int
    """How many objects a pickled array has, 0 for a plain one."""
    how: str


def numpy_arrays(raw: bytes) -> Stored:
    """Return what the bytes of a .npy file hold; raises NotNumpy where they are cut off or something else."""
    stream = io.BytesIO(raw)
    try:
        version = npy_format.read_magic(stream)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, by_columns, kind = read(stream)
    except BROKEN_HEADER as error:
        raise NotNumpy(f"no .npy header: {error}") from error
    body = raw[stream.tell() :]
    if kind.hasobject:
        try:
            return Stored(arrays_in_pickle(body), (), math.prod(shape), PICKLED)
        except ValueError as error:
            raise NotNumpy(str(error)) from error
    if math.prod(shape) * kind.itemsize != len(body):
        raise NotNumpy(f"{len(body):,} bytes for a shape of {shape}")
    if not body or kind.kind not in "fiubU":
        return Stored([], (), 0, PLAIN)
    array = np.frombuffer(body, dtype=kind).reshape(shape, order="F" if by_columns else "C")
    names = names_of(array.tolist()) if array.ndim == 1 and kind.kind in "Uiu" else ()
    numbers = [array.astype(np.float64)] if kind.kind != "U" else []
    return Stored(numbers, names, 0, PLAIN)


def npy_tables(name: str, stored: Stored, ids: tuple[str, ...] = ()) -> list[FeatureTable]:
    """Return the tables in one stored array: itself, or the matrices and the vectors of a pickled one."""
    if not stored.objects:
        return [table for array in stored.arrays if (table := whole(name, ids, array, stored.how))]
    matrices = [array for array in stored.arrays if array.ndim == 2]
    vectors: list[Floats | None] = [array for array in stored.arrays if array.ndim == 1]
    numbered = [f"{name}[{place}]" for place in range(len(matrices))] if len(matrices) > 1 else [name]
    found = [whole(each, ids, matrix, PICKLED) for each, matrix in zip(numbered, matrices, strict=False)]
    if not matrices:
        found.append(gather(name, ids, vectors, PICKLED, max(0, stored.objects - len(vectors))))
    return [table for table in found if table]


def read_npy(path: Path) -> list[FeatureTable]:
    """Return the table in a .npy file; raises NightError where it is cut off or no .npy."""
    try:
        return npy_tables(path.name, numpy_arrays(path.read_bytes()))
    except NotNumpy as error:
        raise NightError(f"{path} cannot be read as .npy ({error}); save it again with numpy.save") from error


def read_npz(path: Path) -> list[FeatureTable]:
    """Return the tables in a .npz file, ids from the first array of names that fits; raises NightError.

    A plain array of different texts or whole numbers, as long as a table, names its rows.
    """
    members = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.endswith(".npy"):
                    members[info.filename.removesuffix(".npy")] = numpy_arrays(archive.read(info))
    except (*BROKEN_ZIP, NotNumpy) as error:
        raise NightError(
            f"{path} cannot be read as .npz ({error}); save it again with numpy.savez, or copy it again"
        ) from error
    found = []
    for key, stored in members.items():
        for table in npy_tables(f"{path.name}:{key}", stored):
            ids = next((each.names for each in members.values() if len(each.names) == len(table.vectors)), ())
            found.append(replace(table, ids=ids))
    return found
