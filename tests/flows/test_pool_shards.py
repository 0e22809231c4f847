"""A pool's shards as Prefect tasks on a real server: threads, a local Dask cluster, a scheduler at an address."""

import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from distributed import LocalCluster

from models.measure_pool import PoolTest
from models.pool_shards import answer_file, exact_by_shards, shard_blocks
from models.pool_vectors import Pool, merged
from models.settings import PoolSettings, check_settings
from nightshift.events import read_events
from nightshift.rundir import StageDir
from nightshift.trainer import TrainerRun

REPOSITORY = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.fixture
def served(server, monkeypatch):
    """The server, named in this process's own environment: what it starts speaks to it."""
    for name, value in (server | {"PYTHONPATH": str(REPOSITORY)}).items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture
def run(tmp_path):
    stage = StageDir(tmp_path / "measure")
    stage.out.mkdir(parents=True)
    return TrainerRun(stage, 1, "n0", "cpu", None, None, None, None)


def unit(rng, rows):
    vectors = rng.normal(size=(rows, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(3)
    return Pool(unit(rng, 700), 320_000, seed=5), unit(rng, 20)


def task_runs(server):
    """Return how many runs of the shards' task the server knows."""
    answer = httpx.post(
        f"{server['PREFECT_API_URL']}/task_runs/count",
        json={"task_runs": {"name": {"like_": "Pool shard"}, "state": {"type": {"any_": ["COMPLETED"]}}}},
        timeout=20,
    )
    return int(answer.text)


@pytest.mark.parametrize("runner", ["threads", "dask", "dask at an address"])
def test_shards_find_what_one_search_finds(runner, run, pool, served, capfd):
    vectors, queries = pool
    before = task_runs(served)
    name = runner.split()[0]
    if runner == "dask at an address":
        with LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster:
            settings = PoolSettings(shards=3, task_runner=name, cluster=cluster.scheduler_address)
            found = exact_by_shards(run, vectors, queries, 100, settings)
    else:
        found = exact_by_shards(run, vectors, queries, 100, PoolSettings(shards=3, task_runner=name))
    assert f"3 of 3 shards of 320000 by {name}" in capfd.readouterr().out
    np.testing.assert_array_equal(found, vectors.exact(queries, 100))
    for _ in range(100):  # task runs reach the server a little later
        if task_runs(served) == before + 3:
            break
        threading.Event().wait(0.1)
    assert task_runs(served) == before + 3, "each shard is a task that the server shows"


def test_shards_whose_answer_does_not_come_are_searched_here(run, pool, monkeypatch, capfd):
    vectors, queries = pool
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")  # nobody listens
    found = exact_by_shards(run, vectors, queries, 100, PoolSettings(shards=3))
    assert "0 of 3 shards" in capfd.readouterr().out
    np.testing.assert_array_equal(found, vectors.exact(queries, 100))


def test_a_scheduler_without_workers_is_given_up(run, pool, served, monkeypatch, capfd):
    vectors, queries = pool
    monkeypatch.setattr("models.pool_shards.LONGEST_QUIET_S", 12.0)
    with LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as cluster:
        settings = PoolSettings(shards=3, task_runner="dask", cluster=cluster.scheduler_address)
        found = exact_by_shards(run, vectors, queries, 100, settings)
    assert "0 of 3 shards" in capfd.readouterr().out
    np.testing.assert_array_equal(found, vectors.exact(queries, 100))
    assert any(event.kind == "beat" for event in read_events(run.folder.events)[0]), "it is no hang"


def test_an_answer_of_another_model_is_not_taken(run, pool, monkeypatch):
    vectors, queries = pool
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    old = answer_file(run.folder.out / "shards" / str(vectors.size), 0)
    old.parent.mkdir(parents=True)
    np.savez(old, scores=np.full((20, 100), 9.0, np.float32), ids=np.zeros((20, 100), np.int64))
    found = exact_by_shards(run, vectors, queries, 100, PoolSettings(shards=3))
    np.testing.assert_array_equal(found, vectors.exact(queries, 100))


def test_every_block_is_in_one_shard_and_shards_come_in_any_order(pool):
    vectors, queries = pool
    blocks = shard_blocks(vectors, 3)
    assert sorted(block for shard in blocks for block in shard) == vectors.blocks()
    parts = [vectors.nearest(queries, 100, shard) for shard in blocks]
    np.testing.assert_array_equal(merged(parts[::-1], 100)[1], vectors.exact(queries, 100))
    assert len(shard_blocks(vectors, 99)) == len(vectors.blocks())


def test_a_runner_that_is_not_installed_is_refused_before_the_night(monkeypatch):
    monkeypatch.setattr("models.settings.find_spec", lambda name: None)
    wrong = check_settings("models.measure_pool", {"task_runner": "ray"})
    assert "pip install prefect-ray" in wrong
    assert check_settings("models.measure_pool", {"task_runner": "threads"}) is None


def test_the_pool_test_searches_large_pools_by_shards(run, pool, served, monkeypatch, capfd):
    vectors, queries = pool
    settings = PoolSettings(shards=2)
    test = PoolTest(run, settings, None, vectors.real, queries)
    test._exact(vectors, 100)
    assert "shards" not in capfd.readouterr().out, "a small pool is searched at once"
    monkeypatch.setattr("models.measure_pool.WORTH_SHARDS", vectors.size)
    np.testing.assert_array_equal(test._exact(vectors, 100), vectors.exact(queries, 100))
    assert "2 of 2 shards" in capfd.readouterr().out
