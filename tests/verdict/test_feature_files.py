import io
import json
import os
import pickle
import sqlite3
import zipfile
from contextlib import closing

import numpy as np
import pytest

from nightshift.states import NightError
from verdict.feature_files import read_features

ROWS, WIDTH = 40, 16


def vectors(seed=0, rows=ROWS, width=WIDTH):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def objects(values):
    held = np.empty(len(values), dtype=object)
    held[:] = values
    return held


def gallery(path, columns, ids=True):
    """Write one table "items" whose columns are lists of values of equal length."""
    columns = (
        {"id": [f"i{row}" for row in range(len(next(iter(columns.values()))))]} if ids else {}
    ) | columns
    with closing(sqlite3.connect(path)) as base:
        base.execute(f"CREATE TABLE items ({', '.join(columns)})")
        rows = zip(*columns.values(), strict=True)
        base.executemany(f"INSERT INTO items VALUES ({', '.join('?' * len(columns))})", rows)
        base.commit()
    return path


def test_npy_is_read_at_every_precision(tmp_path):
    for kind in ("<f2", "<f4", ">f8", "<i4"):
        np.save(tmp_path / "v.npy", np.asfortranarray((10 * vectors()).astype(kind)))
        (table,) = read_features(tmp_path / "v.npy")
        assert table.name == "v.npy"
        assert (table.ids, table.unreadable, table.how) == ((), 0, "plain arrays")
        assert np.array_equal(table.vectors, (10 * vectors()).astype(kind).astype(np.float64))


def test_npz_names_its_tables_and_finds_their_ids(tmp_path):
    names = np.array([f"item {row}" for row in range(ROWS)])
    np.savez(
        tmp_path / "f.npz",
        ids=names,
        clip_vec=vectors(1),
        other=vectors(2, rows=9),
        narrow=vectors(3, width=7),
    )
    first, second = read_features(tmp_path / "f.npz")
    assert (first.name, second.name) == ("f.npz:clip_vec", "f.npz:other")
    assert first.ids == tuple(names)
    assert second.ids == ()
    assert np.array_equal(second.vectors, vectors(2, rows=9))


def test_object_arrays_in_npz_are_located_and_rows_that_do_not_fit_are_counted(tmp_path):
    rows = [*vectors(4), None, np.zeros(5), "no vector"]
    np.savez(
        tmp_path / "f.npz", clip_vec=objects(rows), lists=objects([list(map(float, v)) for v in vectors(5)])
    )
    pickled, lists = read_features(tmp_path / "f.npz")
    assert pickled.how == "pickled arrays, located without executing them"
    assert np.array_equal(pickled.vectors, vectors(4))
    assert pickled.unreadable == 3
    assert np.array_equal(lists.vectors, vectors(5))


class Harm:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_a_harmful_file_runs_nothing(tmp_path):
    marker = tmp_path / "it-ran"
    np.savez(tmp_path / "f.npz", clip_vec=objects([*vectors(6), Harm(marker)]))
    cells = [pickle.dumps((Harm(marker), row)) for row in vectors(6)]
    gallery(tmp_path / "g.db", {"clip_vec": cells})
    for name in ("f.npz", "g.db"):
        (table,) = read_features(tmp_path / name)
        assert np.array_equal(table.vectors, vectors(6))
    assert not marker.exists()


STORED = {
    "raw 32-bit floats": lambda row: row.tobytes(),
    "raw 64-bit floats": lambda row: row.astype("<f8").tobytes(),
    ".npy bytes": npy,
    "pickled arrays, located without executing them": pickle.dumps,
    "JSON lists": lambda row: json.dumps(row.tolist()),
}


@pytest.mark.parametrize("ending", [".db", ".sqlite", ".sqlite3"])
@pytest.mark.parametrize("how", STORED)
def test_every_way_to_store_vectors_in_sqlite_is_read(how, ending, tmp_path):
    cells = [STORED[how](row) for row in vectors(7)]
    path = gallery(
        tmp_path / f"g{ending}", {"clip_vec": cells, "title": ["text"] * ROWS, "price": [1.5] * ROWS}
    )
    (table,) = read_features(path)
    assert (table.name, table.how, table.unreadable) == (f"g{ending}:items.clip_vec", how, 0)
    assert table.ids == tuple(f"i{row}" for row in range(ROWS))
    assert np.array_equal(table.vectors, vectors(7))


def test_rows_of_other_widths_and_broken_ones_are_set_aside_with_their_ids(tmp_path):
    cells = [pickle.dumps(row, number % 6) for number, row in enumerate(vectors(8))]
    cells[3], cells[5], cells[7], cells[9] = None, b"\x80\x04broken.", pickle.dumps(np.zeros(4)), b""
    (table,) = read_features(gallery(tmp_path / "g.db", {"clip_vec": cells}))
    kept = [row for row in range(ROWS) if row not in (3, 5, 7, 9)]
    assert table.unreadable == 4
    assert table.ids == tuple(f"i{row}" for row in kept)
    assert np.array_equal(table.vectors, vectors(8)[kept])


def test_odd_names_several_tables_and_columns_without_vectors(tmp_path):
    path = gallery(tmp_path / "g.db", {"a": [row.tobytes() for row in vectors(9)]}, ids=False)
    with closing(sqlite3.connect(path)) as base:
        base.execute('CREATE TABLE "odd ""name" ("my vec" BLOB, picture BLOB, word TEXT)')
        rng = np.random.default_rng(1)
        for row in vectors(10):
            base.execute(
                'INSERT INTO "odd ""name" VALUES (?, ?, ?)', (row.tobytes(), rng.bytes(64), "[not json")
            )
        base.commit()
    first, second = read_features(path)
    assert (first.name, first.ids) == ("g.db:items.a", ())
    assert second.name == 'g.db:odd "name.my vec'
    assert np.array_equal(second.vectors, vectors(10))


def test_sqlite_is_opened_for_reading_only(tmp_path):
    path = gallery(tmp_path / "g.db", {"clip_vec": [row.tobytes() for row in vectors(11)]})
    before = path.read_bytes()
    path.chmod(0o400)
    read_features(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["g.db"]


def test_parquet_lists_fixed_lists_bytes_and_text_are_read(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="SKIPPED: pyarrow is not installed")
    from pyarrow import parquet

    rows = [row.tolist() for row in vectors(12)]
    columns = {
        "id": [f"i{row}" for row in range(ROWS)],
        "lists": [None, [1.0, 2.0], *rows[2:]],
        "fixed": pa.FixedSizeListArray.from_arrays(pa.array(vectors(13).ravel()), WIDTH),
        "raw": [row.tobytes() for row in vectors(14)],
        "json": [json.dumps(row) for row in rows],
        "score": [0.5] * ROWS,
        "words": [["a", "b"]] * ROWS,
    }
    parquet.write_table(pa.table(columns), tmp_path / "p.parquet")
    lists, fixed, raw, text = read_features(tmp_path / "p.parquet")
    assert [each.name for each in (lists, fixed, raw, text)] == [
        f"p.parquet:{n}" for n in ("lists", "fixed", "raw", "json")
    ]
    assert np.array_equal(lists.vectors, vectors(12)[2:])
    assert (lists.unreadable, lists.ids[0]) == (2, "i2")
    assert np.array_equal(fixed.vectors, vectors(13))
    assert np.array_equal(raw.vectors, vectors(14))
    assert np.array_equal(text.vectors, vectors(12))


def cut(path, whole, keep):
    path.write_bytes(whole[:keep])
    return path


def test_damaged_files_say_so(tmp_path):
    np.savez(tmp_path / "whole.npz", v=vectors())
    gallery(tmp_path / "whole.db", {"v": [row.tobytes() * 50 for row in vectors()]})
    archive, base = (tmp_path / "whole.npz").read_bytes(), (tmp_path / "whole.db").read_bytes()
    for path in (
        cut(tmp_path / "a.npy", npy(vectors()), 200),
        cut(tmp_path / "b.npy", npy(objects(list(vectors()))), 300),
        cut(tmp_path / "c.npy", b"nothing of the kind", 99),
        cut(tmp_path / "d.npz", archive, 300),
        cut(tmp_path / "e.npz", archive.replace(b"NUMPY", b"BUMPY"), len(archive)),
        cut(tmp_path / "f.db", b"SQLite format 4", 99),
        cut(tmp_path / "g.sqlite", base, len(base) // 2),
        cut(tmp_path / "h.parquet", b"PAR1 and no more", 99),
    ):
        with pytest.raises(NightError, match=path.name):
            read_features(path)


def test_a_header_that_lies_about_its_size_is_refused(tmp_path):
    raw = npy(vectors()).replace(b"(40, 16)", b"(4000000000000, 16)").replace(b" " * 11, b"", 1)
    (tmp_path / "v.npy").write_bytes(raw)
    with pytest.raises(NightError, match="shape of"):
        read_features(tmp_path / "v.npy")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"1 2 3", "known are .npy, .npz, .parquet"),
        ("a.csv", b"1,2", "known are"),
        ("a.npz", b"", "is empty"),
        ("a.db", None, "not there"),
    ],
)
def test_what_cannot_be_read_is_said_plainly(name, content, says, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(NightError, match=says):
        read_features(tmp_path / name)


def test_a_whole_file_without_vectors_has_none(tmp_path):
    gallery(tmp_path / "g.db", {"title": ["a", "b"]})
    np.savez(
        tmp_path / "f.npz", ids=np.arange(20), one=vectors(rows=1), none=np.zeros((0, 9)), c=vectors() * 1j
    )
    with zipfile.ZipFile(tmp_path / "f.npz", "a") as archive:
        archive.writestr("readme.txt", "no array")
    assert read_features(tmp_path / "g.db") == []
    assert read_features(tmp_path / "f.npz") == []
