"""Vectors that others stored: .npy, .npz, Parquet and SQLite, read without executing anything in them."""

from collections.abc import Callable
from pathlib import Path

from nightshift.states import NightError
from verdict.feature_files_numpy import read_npy, read_npz
from verdict.feature_files_parquet import read_parquet
from verdict.feature_files_rows import FeatureTable
from verdict.feature_files_sqlite import read_sqlite

__all__ = ["READERS", "FeatureTable", "read_features"]

READERS: dict[str, Callable[[Path], list[FeatureTable]]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".parquet": read_parquet,
    ".db": read_sqlite,
    ".sqlite": read_sqlite,
    ".sqlite3": read_sqlite,
}


def read_features(path: Path) -> list[FeatureTable]:
    """Return the tables of vectors in a file, empty where it is whole but holds none.

    A table needs two rows of one width of 8 or more; rows of other widths are counted as unreadable.
    Raises NightError where the file is missing, empty, damaged or of an unknown ending.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise NightError(f"{path} is no file of vectors by its ending; known are {', '.join(READERS)}")
    if not path.is_file():
        raise NightError(f"{path} is not there, or is no file; check the path")
    if path.stat().st_size == 0:
        raise NightError(f"{path} is empty; write or copy it again")
    return reader(path)
