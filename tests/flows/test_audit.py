"""`nightshift audit` and the evening's verdict on the command line: words, exit codes, one JSON document."""

import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[2]


def nightshift(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "flows.cli.app", *words],
        capture_output=True, text=True, cwd=cwd, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip


def unit_vectors(count=400, width=512):
    vectors = np.random.default_rng(3).normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def features(tmp_path):
    vectors = unit_vectors()
    np.savez(tmp_path / "clip.npz", clip_vec=vectors)
    with sqlite3.connect(tmp_path / "gallery.db") as gallery:
        gallery.execute("create table items (id text, clip_vec blob)")
        rows = [(str(i), pickle.dumps(vector)) for i, vector in enumerate(vectors)]
        gallery.executemany("insert into items values (?, ?)", rows)
    return tmp_path


@pytest.mark.parametrize("name", ["clip.npz", "gallery.db"])
def test_random_unit_vectors_called_embeddings_are_noise(features, name):
    found = nightshift("audit", name, cwd=features)
    assert found.returncode == 20
    assert "NOT BELIEVED" in found.stdout
    assert "ndistinguishable from noise" in found.stdout


def test_several_things_give_one_document_and_the_gravest_exit_code(features):
    shutil.copy(REPOSITORY / "benchmarks" / "nights" / "metrics.py", features / "metrics.py")
    sound = nightshift("audit", "metrics.py:sound", "--json", cwd=features)
    assert sound.returncode == 0
    assert json.loads(sound.stdout)["answers"][0]["belief"] == "BELIEVED"
    both = nightshift("audit", "metrics.py:sound", "metrics.py:own_score", "clip.npz", "--json", cwd=features)
    assert both.returncode == 20
    beliefs = [answer["belief"] for answer in json.loads(both.stdout)["answers"]]
    assert beliefs == ["BELIEVED", "NOT BELIEVED", "NOT BELIEVED"]


def test_a_table_of_results_is_audited(tmp_path):
    rng = np.random.default_rng(1)
    old = rng.uniform(0.3, 0.9, 60)
    lines = ["query,v1,v2", *(f"q{i},{value:.6f},{value + 0.0307:.6f}" for i, value in enumerate(old))]
    (tmp_path / "results.csv").write_text("\n".join(lines) + "\n")
    found = nightshift("audit", "results.csv", cwd=tmp_path)
    assert found.returncode == 20
    assert "NOT BELIEVED" in found.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["audit", "absent.npz"], "there is no such file"),
        (["audit", "notes.md"], "is nothing I can look at"),
        (["audit"], "Missing argument"),
    ],
)
def test_bad_input_exits_2_with_a_clear_line(tmp_path, words, says):
    (tmp_path / "notes.md").write_text("x")
    found = nightshift(*words, cwd=tmp_path)
    assert found.returncode == 2
    assert says in found.stderr
    assert not found.stdout


@pytest.mark.data
def test_the_person_s_data_set_halts_before_any_gpu_hour(shared_data, tmp_path):
    where = str(shared_data / "production_dataset" / "production_dataset.json")
    found = nightshift("check", where, cwd=tmp_path)
    assert found.returncode == 20
    assert "Halted before any GPU hour is spent: the items' words alone tell the label" in found.stdout
    audited = nightshift("audit", where, cwd=tmp_path)
    assert audited.returncode == 20
    assert "V1.0 scores nDCG@10 1.0000" in audited.stdout
