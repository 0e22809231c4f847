"""Exact search over a pool cut into shards, each a Prefect task of a flow in a process of its own.

The flow (`flows/pool_shards.py`) may run its tasks in threads, or on a Dask or Ray cluster. It is never relied on:
shards whose answer does not come are searched here.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from models.pool_vectors import Floats, Ids, Nearest, Pool, merged
from models.settings import PoolSettings
from nightshift.instant import boottime_s
from nightshift.trainer import TrainerRun

FLOW = "flows.pool_shards"
TASK, REAL, QUERIES = "task.json", "real.npy", "queries.npy"
LOOK_EVERY_S = 0.1
QUIET_SHARE, SHORTEST_QUIET_S, LONGEST_QUIET_S = 0.1, 30.0, 600.0
"""Share of the stage's time, and real seconds, that a flow may go on without an answer: a scheduler without workers."""
WORTH_SHARDS = 500_000
"""Vectors from which on shards are worth the start of a flow and of its task runner (8 s for Dask on 2 cores)."""


def shard_blocks(pool: Pool, shards: int) -> list[list[tuple[int, int]]]:
    """Return the pool's blocks dealt out to so many shards, one after another; fewer where there are fewer blocks."""
    blocks = pool.blocks()
    return [blocks[i::shards] for i in range(min(shards, len(blocks)))]


def write_task(
    folder: Path,
    pool: Pool,
    shards: list[list[tuple[int, int]]],
    queries: Floats,
    k: int,
    settings: PoolSettings,
) -> None:
    """Write what the flow needs: a few arrays, and figures."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in answers(folder):  # of an attempt before, perhaps of another model
        old.unlink()
    np.save(folder / REAL, pool.real, allow_pickle=False)
    np.save(folder / QUERIES, queries, allow_pickle=False)
    figures = {
        "size": pool.size, "seed": pool.seed, "k": k, "shards": shards,
        "task_runner": settings.task_runner, "cluster": settings.cluster,
    }  # fmt: skip
    (folder / TASK).write_text(json.dumps(figures))


def answer_file(folder: Path, shard: int) -> Path:
    """Return where a shard's answer lies: `scores` and `ids`."""
    return folder / f"shard-{shard:03d}.npz"


def answers(folder: Path) -> set[Path]:
    """Return the answers that are there, whole."""
    return set(folder.glob("shard-???.npz"))


def read_answer(path: Path) -> Nearest:
    """Return one shard's answer."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["scores"], arrays["ids"]


def exact_by_shards(run: TrainerRun, pool: Pool, queries: Floats, k: int, settings: PoolSettings) -> Ids:
    """Return the positions of the k nearest vectors per query, shape (queries, k); as `Pool.exact` does.

    Says in the output how many shards the flow has answered, and how long that took.
    """
    folder = run.folder.out / "shards" / str(pool.size)
    shards, begin = shard_blocks(pool, settings.shards), boottime_s()
    write_task(folder, pool, shards, queries, k, settings)
    _run_flow(run, folder)
    there = answers(folder)
    parts = [
        read_answer(path)
        if (path := answer_file(folder, number)) in there
        else pool.nearest(queries, k, blocks)
        for number, blocks in enumerate(shards)
    ]
    print(
        f"{len(there)} of {len(shards)} shards of {pool.size} by {settings.task_runner}, "
        f"{boottime_s() - begin:.1f} s with the start of the flow; the others here",
        flush=True,
    )
    return merged(parts, k)[1]


def _run_flow(run: TrainerRun, folder: Path) -> None:
    """Run the flow until it ends; where no answer comes for too long, or the time is over, it is ended."""
    flow = subprocess.Popen([sys.executable, "-m", FLOW, str(folder)], stdin=subprocess.DEVNULL)
    quiet_s = min(LONGEST_QUIET_S, max(SHORTEST_QUIET_S, QUIET_SHARE * run.seconds_left()))
    seen, heard_s = 0, boottime_s()
    while flow.poll() is None:
        there = len(answers(folder))
        if there > seen:
            seen, heard_s = there, boottime_s()
        run.beat()
        run.read_control()
        if run.stop_asked or run.seconds_left() <= 0 or boottime_s() - heard_s > quiet_s:
            flow.kill()
        threading.Event().wait(LOOK_EVERY_S)
