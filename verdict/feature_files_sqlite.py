"""Vectors in the columns of an SQLite file, opened for reading only."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from nightshift.states import NightError
from verdict.feature_files_cells import Cell, vectors_in
from verdict.feature_files_rows import FeatureTable, gather, names_of

FIRST_BYTES = b"SQLite format 3\x00"
LOOKED_AT = 50
"""Values of a column looked at before all of them are read."""


def read_sqlite(path: Path) -> list[FeatureTable]:
    """Return the tables of vectors in an SQLite file: columns of BLOBs or JSON lists, with their ids.

    Nothing is written. Raises NightError where it is no SQLite file or is damaged.
    """
    with path.open("rb") as file:
        if file.read(len(FIRST_BYTES)) != FIRST_BYTES:
            raise NightError(f"{path} is no SQLite file; give it the ending of what it is, or copy it again")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as base:
            base.text_factory = lambda text: text.decode("utf-8", "replace")
            return [found for table in _tables(base) for found in _read_table(base, path.name, table)]
    except sqlite3.DatabaseError as error:
        raise NightError(
            f"{path} cannot be read as SQLite ({error}); copy it again, or close its writer"
        ) from error


def _tables(base: sqlite3.Connection) -> list[str]:
    rows = base.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid").fetchall()
    real = [name for name, sql in rows if not str(sql).upper().startswith("CREATE VIRTUAL")]
    return [name for name in real if not name.startswith("sqlite_")]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _read_table(base: sqlite3.Connection, file: str, table: str) -> list[FeatureTable]:
    columns = [row[1] for row in base.execute(f"PRAGMA table_info({_quoted(table)})")]
    found = []
    ids: tuple[str, ...] | None = None
    for column in columns:
        if not _may_hold_vectors(base, table, column):
            continue
        cells = [_cell(value) for value in _values(base, table, column)]
        vectors, how = vectors_in(cells)
        ids = _ids(base, table, columns) if ids is None else ids
        if gathered := gather(f"{file}:{table}.{column}", ids, vectors, how):
            found.append(gathered)
    return found


def _values(base: sqlite3.Connection, table: str, column: str, limit: int = -1) -> list[object]:
    query = f"SELECT {_quoted(column)} FROM {_quoted(table)} LIMIT ?"
    return [row[0] for row in base.execute(query, (limit,))]


def _may_hold_vectors(base: sqlite3.Connection, table: str, column: str) -> bool:
    query = f"SELECT {_quoted(column)} FROM {_quoted(table)} WHERE {_quoted(column)} IS NOT NULL LIMIT ?"
    values = [row[0] for row in base.execute(query, (LOOKED_AT,))]
    return any(isinstance(value, bytes) or (isinstance(value, str) and value[:1] == "[") for value in values)


def _cell(value: object) -> Cell:
    return value if isinstance(value, bytes | str) else None


def _ids(base: sqlite3.Connection, table: str, columns: list[str]) -> tuple[str, ...]:
    """Return the first column of different texts or whole numbers, in the order of the rows."""
    for column in columns:
        first = _values(base, table, column, LOOKED_AT)
        if names_of(first) and (ids := names_of(_values(base, table, column))):
            return ids
    return ()
