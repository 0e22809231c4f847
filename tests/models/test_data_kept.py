"""Data from elsewhere, as they lie here: verified on disk, and what a seal names is never written again."""

import fcntl
import hashlib
import shutil
import sys
import threading
import types
from pathlib import Path

import pytest

from models import data_sync
from models.data import open_source
from models.data_sync import brought_here, storage_errors
from models.dataset import DataError
from tests.models.test_data_sync import WHERE, git
from tests.tasks.small_night import make_data
from verdict.sealed_files import changed_files, seal_data


@pytest.fixture
def repository(tmp_path):
    source = make_data(tmp_path / "repository")
    git("init", "-q", "-b", "main", cwd=source)
    commit(source)
    return source


def commit(source, **files):
    for name, text in files.items():
        (source / name.replace("_", ".")).write_text(text)
    git("add", ".", cwd=source)
    git("commit", "-qm", "data", cwd=source)


def sums(text, name="train.jsonl"):
    return f"{hashlib.sha256(text.encode()).hexdigest()}  ./{name}\n"


def test_a_newer_sync_leaves_the_files_that_a_night_has_sealed(bucket, tmp_path):
    sealed = seal_data(open_source(WHERE, tmp_path / "cache"))
    text = bucket.cat_file("/bucket/data/train.jsonl").decode()
    bucket.pipe_file("/bucket/data/train.jsonl", text.replace("train00", "train90").encode())
    newer = seal_data(open_source(WHERE, tmp_path / "cache"))
    assert newer.splits["train"].sha256 != sealed.splits["train"].sha256
    assert changed_files(sealed.splits) == changed_files(newer.splits) == []
    bucket.pipe_file("/bucket/data/train.jsonl", text.encode())
    assert seal_data(open_source(WHERE, tmp_path / "cache")) == sealed, "the same content, the same folder"
    assert not list((tmp_path / "cache").glob(".*.part"))


def test_a_newer_commit_leaves_the_files_that_a_night_has_sealed(repository, tmp_path):
    where = f"git+file://{repository}"
    sealed = seal_data(open_source(where, tmp_path / "cache"))
    commit(repository, train_jsonl=(repository / "train.jsonl").read_text().replace("train00", "train90"))
    newer = seal_data(open_source(where, tmp_path / "cache"))
    assert newer.splits["train"].sha256 != sealed.splits["train"].sha256
    assert changed_files(sealed.splits) == changed_files(newer.splits) == []


def test_a_file_that_was_changed_here_is_refused_and_comes_anew(bucket, tmp_path):
    folder = brought_here(WHERE, tmp_path / "cache")
    was = (folder / "train.jsonl").read_text()
    (folder / "train.jsonl").write_text(was.replace("1", "2"))
    for _ in range(2):
        with pytest.raises(DataError, match=f"train.jsonl was changed since .*; move {folder} away"):
            brought_here(WHERE, tmp_path / "cache")
    folder.rename(tmp_path / "away")
    assert brought_here(WHERE, tmp_path / "cache") == folder
    assert (folder / "train.jsonl").read_text() == was


def test_a_clone_is_held_against_its_sums_and_against_what_was_cloned(repository, tmp_path):
    where, cache = f"git+file://{repository}", tmp_path / "cache"
    commit(repository, SHA256SUMS=sums("something else"))
    with pytest.raises(DataError, match=r"train.jsonl is not what SHA256SUMS says"):
        brought_here(where, cache)
    assert not list(cache.glob("data-*")), "nothing that could be taken for data"
    commit(repository, SHA256SUMS=sums((repository / "train.jsonl").read_text()))
    folder = brought_here(where, cache)
    assert brought_here(where, cache) == folder
    (folder / "train.jsonl").write_text("another")
    with pytest.raises(DataError, match=r"train.jsonl was changed since"):
        brought_here(where, cache)


def test_a_tag_names_a_clone_too(repository, tmp_path):
    git("tag", "-a", "v1", "-m", "first", cwd=repository)
    first = (repository / "train.jsonl").read_text()
    commit(repository, train_jsonl=first.replace("1", "2"))
    folder = brought_here(f"git+file://{repository}@v1", tmp_path / "cache")
    assert (folder / "train.jsonl").read_text() == first
    with pytest.raises(DataError, match="nowhere"):
        brought_here(f"git+file://{repository}@nowhere", tmp_path / "cache")


def test_a_disk_without_second_names_gets_copies(bucket, tmp_path, monkeypatch):
    def refused(_path, _other):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    folder = brought_here(WHERE, tmp_path / "cache")
    assert (folder / "train.jsonl").read_bytes() == bucket.cat_file("/bucket/data/train.jsonl")


def test_one_process_at_a_time_brings_an_address_here(bucket, tmp_path):
    folder = brought_here(WHERE, tmp_path)
    lock = tmp_path / f".{folder.name.rpartition('-')[0]}.lock"
    other = threading.Thread(target=brought_here, args=(WHERE, tmp_path))
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        other.start()
        other.join(0.5)
        assert other.is_alive()
    other.join(60)
    assert not other.is_alive()


def test_a_copy_of_a_synced_folder_is_data_like_any_other(bucket, tmp_path):
    copy = shutil.copytree(brought_here(WHERE, tmp_path / "cache"), tmp_path / "copy")
    for path in copy.iterdir():
        bucket.pipe_file(f"/bucket/copy/{path.name}", path.read_bytes())
    for _ in range(2):
        assert (brought_here("memory://bucket/copy", tmp_path / "cache") / "train.jsonl").is_file()


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(
        DataError, match=r"s3://b/x: cannot be brought here: .*; pip install 'nightshift\[s3\]'"
    ):
        brought_here("s3://b/x", tmp_path)


def test_a_librarys_own_error_is_told(bucket, tmp_path, monkeypatch):
    class BotoCoreError(Exception):
        pass

    def refused(*_):
        raise BotoCoreError("Unable to locate credentials")

    monkeypatch.setitem(
        sys.modules,
        "botocore.exceptions",
        types.SimpleNamespace(BotoCoreError=BotoCoreError, ClientError=BotoCoreError),
    )
    monkeypatch.setattr(data_sync, "fetch_file", refused)
    assert BotoCoreError in storage_errors()
    with pytest.raises(DataError, match="Unable to locate credentials"):
        brought_here(WHERE, tmp_path / "cache")
