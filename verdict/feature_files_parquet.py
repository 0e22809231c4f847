"""Vectors in the columns of a Parquet file."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nightshift.states import NightError
from verdict.feature_files_cells import vectors_in
from verdict.feature_files_rows import FeatureTable, gather, names_of

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
LISTS = "lists of numbers"


def read_parquet(path: Path) -> list[FeatureTable]:
    """Return the tables of vectors in a Parquet file: columns of number lists, bytes or JSON text.

    Raises NightError where it is no whole Parquet file, or pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise NightError(f"{path} needs pyarrow to be read; pip install pyarrow") from error
    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise NightError(f"{path} cannot be read as Parquet ({error}); write or copy it again") from error
    ids: tuple[str, ...] = ()
    for name in table.column_names:
        if not ids and (pa.types.is_string(table[name].type) or pa.types.is_integer(table[name].type)):
            ids = names_of(table[name].to_pylist())
    found = [_read_column(f"{path.name}:{name}", ids, table[name]) for name in table.column_names]
    return [each for each in found if each]


def _read_column(name: str, ids: tuple[str, ...], column: "pa.ChunkedArray") -> FeatureTable | None:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        if not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
            return None
        return gather(name, ids, [_numbers(scalar) for scalar in column], LISTS)
    cells = ("binary", "large_binary", "fixed_size_binary", "string", "large_string")
    if not any(getattr(pa.types, f"is_{each}")(kind) for each in cells):
        return None
    vectors, how = vectors_in(column.to_pylist())
    return gather(name, ids, vectors, how)


def _numbers(scalar: "pa.ListScalar") -> Floats | None:
    if not scalar.is_valid:
        return None
    return np.asarray(scalar.values.to_numpy(zero_copy_only=False), dtype=np.float64)
