"""Attacks by data, archives, pictures, plans, checkpoints: refused, nothing executed, nothing written outside."""

import contextlib
import json
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from models.data import check_source
from models.data_images import unpacked
from models.scorers import load_scorer
from nightshift.checkpoint import damage, write_checkpoint
from nightshift.states import NightError
from schedules.plan_source import read_plan
from verdict.feature_files import read_features

ROOT = Path(__file__).parents[2]


class Evil:
    """Pickled, it would leave a file behind when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["../outside.png", "images/../../outside.png", "/tmp/outside-absolute.png"])
def test_an_archive_writes_nothing_outside_of_its_folder(tmp_path, name):
    archive = zipped(tmp_path / "images.zip", {name: b"x", "images/ok.png": b"y"})
    cache = tmp_path / "cache"
    cache.mkdir()
    with pytest.raises(NightError, match="leaves the folder"):
        unpacked(archive, cache)
    assert not list(tmp_path.glob("outside*"))
    assert not Path("/tmp/outside-absolute.png").exists()
    assert list(cache.iterdir()) == []


def test_a_link_in_an_archive_leads_nowhere(tmp_path):
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as file:
        link = zipfile.ZipInfo("images/link.png")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    cache = tmp_path / "cache"
    cache.mkdir()
    with pytest.raises(NightError, match="symbolic link"):
        unpacked(archive, cache)
    assert list(cache.iterdir()) == []


def png_of(width, height):
    """Return a tiny file that says it is a picture of this size."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def data_with(tmp_path, image, text="red drink"):
    for split in ("train", "val", "test"):
        candidates = [
            {
                "id": f"{split}{i}",
                "image": image,
                "text": text,
                "attributes": {},
                "relevance": i,
                "score_v1": 0.1 * i,
            }
            for i in range(3)
        ]
        line = {"query_id": f"{split}-1", "query": f"find {split}", "candidates": candidates}
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(line) + "\n")
    return tmp_path


@pytest.mark.parametrize("image", ["../../../etc/passwd", "/etc/passwd", "images/../../secret.png"])
def test_a_picture_outside_of_the_data_is_not_read(tmp_path, image):
    (tmp_path / "secret.png").write_bytes(png_of(10, 10))
    folder = tmp_path / "data"
    folder.mkdir()
    source, problems = check_source(data_with(folder, image), tmp_path / "cache")
    assert problems, "it is told"
    if source is not None:
        kept = "".join(path.read_text() for path in source.splits.values())
        assert "passwd" not in kept
        assert "secret" not in kept


def test_a_picture_that_would_fill_the_memory_is_set_aside(tmp_path):
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "bomb.png").write_bytes(png_of(60_000, 60_000))
    _, problems = check_source(data_with(folder, "images/bomb.png"), tmp_path / "cache")
    assert any("bomb.png" in problem.where + problem.what for problem in problems)


@pytest.mark.parametrize("name", ["fusion.safetensors", "vectors.npy", "state.json"])
def test_a_pickle_in_a_checkpoint_is_never_executed(tmp_path, name):
    mark = tmp_path / "executed"
    payload = pickle.dumps(Evil(mark))
    for kind in ("fusion", "ranker", "ensemble", "scores", "no-such-kind"):
        path = write_checkpoint(
            tmp_path / kind, 1, lambda f: (f / name).write_bytes(payload) and None, {"kind": kind}, "n"
        )
        with pytest.raises((NightError, OSError, ValueError, KeyError)):
            load_scorer(path)
    assert not mark.exists()


def test_a_pickle_among_the_features_is_never_executed(tmp_path):
    mark = tmp_path / "executed"
    np.save(tmp_path / "features.npy", np.array([Evil(mark)], dtype=object), allow_pickle=True)
    with contextlib.suppress(NightError):
        read_features(tmp_path / "features.npy")
    assert not mark.exists()


def test_a_manifest_that_points_outside_does_not_make_a_checkpoint_whole(tmp_path):
    (tmp_path / "secret").write_text("secret")
    path = write_checkpoint(tmp_path / "c", 1, lambda f: (f / "w").write_text("w") and None, {}, "n")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["../../secret"] = {"size": 6, "sha256": "0" * 64}
    (path / "manifest.json").write_text(json.dumps(manifest))
    assert damage(path) is not None


@pytest.mark.parametrize(
    "line",
    [
        'campaign = "a; touch x"',
        'campaign = "../up"',
        'timezone = "../../etc/passwd"',
        'timezone = "$(touch x)"',
    ],
)
def test_a_plan_cannot_carry_paths_or_commands_where_names_belong(tmp_path, line):
    key = line.split(" =")[0]
    text = (ROOT / "schedules" / "nights.toml").read_text().splitlines()
    plan = tmp_path / "plan.toml"
    plan.write_text("\n".join(line if one.startswith(f"{key} =") else one for one in text))
    with pytest.raises(NightError):
        read_plan(plan)


def test_no_command_of_ours_goes_through_a_shell():
    told = []
    for package in ("nightshift", "schedules", "models", "verdict", "tasks", "flows"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            told += [
                f"{path.name}: {word}" for word in ("shell=True", "os.system(", "os.popen(") if word in text
            ]
    assert told == []
