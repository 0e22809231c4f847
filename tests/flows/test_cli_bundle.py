"""`nightshift fetch` and `publish` where a place cannot be reached: one line, what, where, what to do; exit code 2."""

import hashlib
import json
import sys
import types

import fsspec
import pytest

from flows.cli.app import main
from nightshift.rundir import RunDir
from tasks import publish as publishing
from tasks.bundle import Bundle


@pytest.fixture
def told(monkeypatch, capsys):
    """What a command line says that ends with exit code 2."""

    def tell(*words):
        monkeypatch.setattr(sys, "argv", ["nightshift", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert "hunter2" not in said
        assert "Traceback" not in said
        return said

    return tell


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A night whose bundle is one small file."""
    (tmp_path / "seal.json").write_text("{}")
    pointer = {"bundle": "2026-11-26-0-0", "date": "2026-11-26", "handed_over_at": "", "rehearsed": True}
    listing = json.dumps({"files": {"seal.json": {"size": 2, "sha256": "0"}}})
    files = {"seal.json": tmp_path / "seal.json"}
    monkeypatch.setattr(
        publishing, "make_bundle", lambda _run: Bundle("2026-11-26-0-0", "small", files, listing, pointer)
    )
    return RunDir(tmp_path)


@pytest.mark.parametrize(
    ("where", "library", "why"),
    [
        ("s3://bucket/nights", "s3fs", "pip install 'nightshift[s3]'"),
        ("gs://bucket/nights", "gcsfs", "pip install 'nightshift[gcs]'"),
        ("nosuch://me:hunter2@bucket/nights", "", "nosuch://bucket/nights: "),
        ("nosuch://me:hunter2@bucket/nights", "", "Protocol not known: nosuch; give a folder or an address"),
        ("github://nights", "", "missing 2 required positional arguments"),
        ("ftp://me:hunter2@127.0.0.1:1/nights", "", "ftp://127.0.0.1:1/nights: "),
        ("ftp://me:hunter2@127.0.0.1:1/nights", "", "Connection refused; mend that and try again"),
    ],
)
def test_a_place_that_cannot_be_opened(where, library, why, told, run, tmp_path, monkeypatch):
    if library:
        monkeypatch.setitem(sys.modules, library, None)
    fetching = told("fetch", "small", "--from", where, "--to", str(tmp_path / "nights"))
    assert why in fetching
    assert "night 'small' cannot be fetched from there" in fetching
    publishing_ = told("publish", "--run", str(run.path), "--where", where)
    assert why in publishing_
    assert "the night cannot be published there" in publishing_


class BotoCoreError(Exception):
    """What S3's library raises without credentials: no OSError."""


@pytest.mark.parametrize(
    "error",
    [
        PermissionError("Forbidden"),
        NotImplementedError("Forbidden"),
        BotoCoreError("Forbidden: http://me:hunter2@x/y"),
    ],
)
def test_a_place_that_refuses(error, told, run, tmp_path, monkeypatch):
    def refuses(*_words, **_more):
        raise error

    memory = type(fsspec.filesystem("memory"))
    monkeypatch.setitem(
        sys.modules,
        "botocore.exceptions",
        types.SimpleNamespace(BotoCoreError=BotoCoreError, ClientError=BotoCoreError),
    )
    monkeypatch.setattr(memory, "cat_file", refuses)
    monkeypatch.setattr(memory, "exists", refuses)
    said = told("fetch", "small", "--from", "memory://nights", "--to", str(tmp_path / "nights"))
    assert "memory://nights: night 'small' cannot be fetched from there: Forbidden" in said
    said = told("publish", "--run", str(run.path), "--where", "memory://nights")
    assert "memory://nights: the night cannot be published there: Forbidden" in said


def test_a_place_on_the_web_that_does_not_answer(told, run, monkeypatch):
    monkeypatch.setattr(publishing, "_there", lambda *_: False)
    said = told("publish", "--run", str(run.path), "--where", "http://me:hunter2@127.0.0.1:1/nights")
    assert "http://127.0.0.1:1/nights: the night cannot be published there" in said


def test_a_folder_here_that_cannot_be_written(told, tmp_path):
    (tmp_path / "place" / "small" / "one").mkdir(parents=True)
    listing = json.dumps({"nonce": "0", "files": {"a": {"size": 1, "sha256": "0"}}})
    (tmp_path / "place" / "small" / "one" / "bundle.json").write_text(listing)
    (tmp_path / "place" / "small" / "one" / "a").write_text("a")
    digest = hashlib.sha256(listing.encode()).hexdigest()
    (tmp_path / "place" / "small" / "latest.json").write_text(json.dumps({"bundle": "one", "sha256": digest}))
    (tmp_path / "nights").write_text("a file where a folder should be")
    said = told("fetch", "small", "--from", str(tmp_path / "place"), "--to", str(tmp_path / "nights"))
    assert "Not a directory" in said


def test_the_address_that_is_told_and_kept_has_no_password(run, monkeypatch):
    monkeypatch.setattr(publishing, "_send", lambda *_: "http://me:hunter2@127.0.0.1/nights/small/one")
    assert publishing.publish(run, "memory://nights") == "http://127.0.0.1/nights/small/one"
