"""Data from elsewhere: fetched once, again only where it changed, whole or not at all."""

import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import threading

import pytest

from models.data import check_source
from models.data_sync import brought_here, full_path, is_remote
from models.dataset import DataError
from tests.tasks.small_night import make_data

WHERE = "memory://bucket/data"


@pytest.fixture
def bucket(bucket):
    bucket.pipe_file("/bucket/data/images/a.png", b"picture")
    return bucket


@pytest.fixture
def fetched(monkeypatch):
    from models import data_sync

    names, real = [], data_sync.fetch_file

    def counted(system, path, target):
        names.append(path.split("/")[-1])
        real(system, path, target)

    monkeypatch.setattr(data_sync, "fetch_file", counted)
    return names


def test_only_what_has_changed_is_fetched_again(bucket, tmp_path, fetched):
    folder = brought_here(WHERE, tmp_path)
    assert sorted(fetched) == ["a.png", "test.jsonl", "train.jsonl", "val.jsonl"]
    fetched.clear()
    assert brought_here(WHERE, tmp_path) == folder
    assert fetched == []
    bucket.pipe_file("/bucket/data/images/a.png", b"another")
    bucket.rm_file("/bucket/data/val.jsonl")
    newer = brought_here(WHERE, tmp_path)
    assert fetched == ["a.png"]
    assert (newer / "images" / "a.png").read_bytes() == b"another"
    assert not (newer / "val.jsonl").exists()
    assert (newer / "train.jsonl").samefile(folder / "train.jsonl"), "what has not changed lies there once"


def test_a_cut_fetch_goes_on(bucket, tmp_path, fetched, monkeypatch):
    from models import data_sync

    counting = data_sync.fetch_file

    def cut(system, path, target):
        if len(fetched) == 2:
            raise OSError("connection lost")
        counting(system, path, target)

    monkeypatch.setattr(data_sync, "fetch_file", cut)
    with pytest.raises(DataError, match="connection lost"):
        brought_here(WHERE, tmp_path)
    monkeypatch.setattr(data_sync, "fetch_file", counting)
    brought_here(WHERE, tmp_path)
    assert sorted(fetched) == ["a.png", "test.jsonl", "train.jsonl", "val.jsonl"], "nothing twice"


def test_a_sum_that_does_not_fit_refuses_the_data(bucket, tmp_path):
    bucket.pipe_file(
        "/bucket/data/SHA256SUMS", f"{hashlib.sha256(b'picture').hexdigest()}  images/a.png\n".encode()
    )
    brought_here(WHERE, tmp_path)
    bucket.pipe_file("/bucket/data/images/a.png", b"pictura")
    with pytest.raises(DataError, match=r"images/a.png is not what SHA256SUMS says"):
        brought_here(WHERE, tmp_path)


def test_a_night_reads_data_by_its_address(bucket, tmp_path):
    source, _ = check_source(WHERE, tmp_path / "cache")
    assert source.kind == "multimodal"
    assert full_path(WHERE) == WHERE
    assert full_path(None) is None
    assert not is_remote("data/folder")


def git(*words, cwd):
    who = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    subprocess.run(["git", *words], cwd=cwd, check=True, capture_output=True, env=os.environ | who)


def test_a_repository_is_cloned_and_kept_up_to_date(tmp_path):
    source = make_data(tmp_path / "repository")
    git("init", "-q", "-b", "main", cwd=source)
    git("add", ".", cwd=source)
    git("commit", "-qm", "data", cwd=source)
    where = f"git+file://{source}"
    (tmp_path / "cache").mkdir()
    folder = brought_here(where, tmp_path / "cache")
    assert (folder / "train.jsonl").is_file()
    (source / "more.txt").write_text("more")
    git("add", ".", cwd=source)
    git("commit", "-qm", "more", cwd=source)
    assert (brought_here(where, tmp_path / "cache") / "more.txt").is_file()
    assert (brought_here(f"{where}@main", tmp_path / "cache") / "more.txt").is_file()
    shutil.rmtree(source)
    with pytest.raises(DataError, match="cannot be brought here"):
        brought_here(where, tmp_path / "cache")


@pytest.fixture
def website(tmp_path):
    """A folder served by a web server that names files and, of them, no size in its lists."""
    source = make_data(tmp_path / "website")
    handler = functools.partial(QuietHandler, directory=str(source))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", source
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_words):
        pass


def test_a_folder_on_the_web_is_brought_here_and_what_changed_there_again(website, tmp_path):
    where, source = website
    (tmp_path / "cache").mkdir()
    folder = brought_here(where, tmp_path / "cache")
    assert (folder / "train.jsonl").read_text() == (source / "train.jsonl").read_text()
    other = (source / "train.jsonl").read_text().replace("1", "2")
    (source / "train.jsonl").write_text(other)  # as long as before
    assert (brought_here(where, tmp_path / "cache") / "train.jsonl").read_text() == other


@pytest.mark.parametrize(
    "where",
    [
        "https://me:hunter2@host/data",
        "git+https://me:hunter2@host/data",
        "git+https://hunter2@host/data",
        "redis://:hunter2@host/data",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(where, tmp_path):
    with pytest.raises(DataError) as refused:
        brought_here(where, tmp_path)
    assert "hunter2" not in str(refused.value)


def test_a_place_outside_of_the_folder_is_refused():
    from models.data_sync import _place

    with pytest.raises(ValueError, match="outside"):
        _place("/bucket/evil/../../x", "/bucket/evil")
