import pickle
import sqlite3
import zipfile
from contextlib import closing

import numpy as np
import pytest

from models.image_features import image_features
from verdict.answer import BELIEVED, CANNOT_TELL, NOT_BELIEVED
from verdict.audit_features import audit_features, audit_table, holds_vectors
from verdict.feature_files import FeatureTable


def random_units(rows=500, width=512, seed=0):
    drawn = np.random.default_rng(seed).standard_normal((rows, width))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def gallery(path, vectors):
    with closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE items (id TEXT PRIMARY KEY, clip_vec BLOB)")
        rows = [(f"i{number}", pickle.dumps(row)) for number, row in enumerate(vectors)]
        base.executemany("INSERT INTO items VALUES (?, ?)", rows)
        base.commit()
    return path


def table(vectors, unreadable=0):
    return FeatureTable("f.npz:vec", (), np.asarray(vectors, dtype=np.float64), unreadable, "plain arrays")


def clustered(rows=200, width=32, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((20, width))[rng.integers(0, 20, rows)] + 0.3 * rng.standard_normal(
        (rows, width)
    )


def test_random_vectors_stored_as_clip_embeddings_are_not_believed(tmp_path):
    np.savez(tmp_path / "gallery.npz", clip_vec=random_units())
    gallery(tmp_path / "gallery.db", random_units(seed=1))
    for name, place in (("gallery.npz", "clip_vec"), ("gallery.db", "items.clip_vec")):
        (answer,) = audit_features(tmp_path / name)
        assert answer.subject == f"{name}:{place}"
        assert answer.belief == NOT_BELIEVED
        assert answer.sentence.startswith(
            "indistinguishable from noise: 500 vectors of width 512 lie as random directions do (cosine sd 0.044"
        )
        assert "random 0.0442); nothing can be learned from them" in answer.sentence
        assert "about 1 minute" in answer.advice


@pytest.mark.data
def test_real_features_are_believed_but_not_to_be_of_the_items(shared_data, tmp_path):
    with zipfile.ZipFile(shared_data / "mm_grocery" / "images.zip") as archive:
        photos = [name for name in archive.namelist() if name.endswith(".jpg")][:200]
        features = np.array([image_features(archive.open(name)) for name in photos])
    (answer,) = audit_features(gallery(tmp_path / "gallery.db", features))
    assert answer.belief == BELIEVED
    assert answer.sentence.startswith("not noise: neighbours are closer than chance")
    assert "does not show that they come from the items" in answer.sentence
    assert answer.facts["how"] == "pickled arrays, located without executing them"
    assert answer.advice == ""


BROKEN = {
    "12 of 200 vectors hold values that are not finite": lambda v: np.where(
        np.arange(200)[:, None] < 12, np.nan, v
    ),
    "all 200 vectors of width 32 are zeros": np.zeros_like,
    "150 of 200 vectors are all zeros": lambda v: v * (np.arange(200) >= 150)[:, None],
    "one and the same": lambda v: np.tile(v[0], (200, 1)),
    "20 of 32 columns have one value": lambda v: np.where(np.arange(32) < 20, 0.5, v),
}


@pytest.mark.parametrize("says", BROKEN)
def test_broken_vectors_are_not_believed_and_said_to_be_what_they_are(says):
    answer = audit_table(table(BROKEN[says](clustered())))
    assert answer.belief == NOT_BELIEVED
    assert says in answer.sentence


def test_a_few_zero_rows_and_constant_columns_are_only_counted():
    vectors = clustered()
    vectors[:, :4] = 0.5
    vectors[:3] = 0
    answer = audit_table(table(vectors))
    assert answer.belief == BELIEVED
    assert (answer.facts["zero_rows"], answer.facts["varying_columns"]) == (3, 28)


def test_rows_set_aside_are_said():
    answer = audit_table(table(clustered(), unreadable=7))
    assert answer.facts["unreadable"] == 7
    assert "set aside as unreadable: 7 of 207 rows" in answer.sentence


def test_too_few_rows_tell_nothing():
    answer = audit_table(table(clustered(rows=20)))
    assert answer.belief == CANNOT_TELL
    assert answer.sentence.startswith("cannot tell: 20 different vectors")


def test_a_file_without_vectors_cannot_be_told(tmp_path):
    np.savez(tmp_path / "f.npz", ids=np.arange(5))
    (answer,) = audit_features(tmp_path / "f.npz")
    assert answer.belief == CANNOT_TELL
    assert answer.sentence.startswith("no vectors found")


def test_lists_of_scores_are_no_vectors_of_items(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="SKIPPED: pyarrow is not installed")
    from pyarrow import parquet

    lists = clustered(rows=9).tolist()
    parquet.write_table(pa.table({"query_id": list("abcdefghi"), "scores": lists}), tmp_path / "r.parquet")
    parquet.write_table(pa.table({"id": list("abcdefghi"), "clip_vec": lists}), tmp_path / "v.parquet")
    assert not holds_vectors(tmp_path / "r.parquet")
    assert holds_vectors(tmp_path / "v.parquet")
