"""A pool's shards as Prefect tasks (`python -m flows.pool_shards FOLDER`), under whichever task runner the plan names.

The pool test starts this in a process of its own (`models/pool_shards.py`) and reads the answers from the folder.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from models.pool_shards import QUERIES, REAL, TASK, answer_file
from models.pool_vectors import Floats, Nearest, Pool
from nightshift.states import NightError

RETRIES = 2
DASK_HERE = {"host": "127.0.0.1", "threads_per_worker": 1, "dashboard_address": None}


@task(name="Pool shard", retries=RETRIES, cache_policy=NO_CACHE, persist_result=False)
def search_shard(
    real: Floats, queries: Floats, size: int, seed: int, k: int, blocks: list[tuple[int, int]]
) -> Nearest:
    """Search one shard, wherever the task runner puts it: nothing is read from disk."""
    return Pool(real, size, seed).nearest(queries, k, blocks)


@flow(name="pool-shards", persist_result=False)
def search_pool(folder: str) -> int:
    """Search every shard, and leave each answer in the folder as it comes; return how many there are."""
    where = Path(folder)
    told = json.loads((where / TASK).read_text())
    real, queries = (np.load(where / name, allow_pickle=False) for name in (REAL, QUERIES))
    asked = [
        search_shard.submit(real, queries, told["size"], told["seed"], told["k"], [tuple(b) for b in blocks])
        for blocks in told["shards"]
    ]
    for number, future in enumerate(asked):
        scores, ids = future.result()
        path = answer_file(where, number)
        aside = path.with_suffix(".part.npz")
        np.savez(aside, scores=scores, ids=ids)
        aside.replace(path)
        get_run_logger().info("shard %d of %d of a pool of %d", number + 1, len(asked), told["size"])
    return len(asked)


def runner_of(name: str, cluster: str) -> TaskRunner[Any]:
    """Return the task runner of this name, on the cluster at this address or on one that lives as long as the flow.

    Raises NightError where its package is not installed.
    """
    if name == "threads":
        return ThreadPoolTaskRunner(max_workers=os.cpu_count() or 1)
    try:
        package = import_module(f"prefect_{name}")
    except ImportError as error:
        raise NightError(f"task_runner = {name!r} needs a package: pip install prefect-{name}") from error
    here = {} if name == "ray" else {"cluster_kwargs": DASK_HERE}
    kind = package.RayTaskRunner if name == "ray" else package.DaskTaskRunner
    runner: TaskRunner[Any] = kind(address=cluster) if cluster else kind(**here)
    return runner


def main(words: list[str]) -> int:
    """Return the exit code."""
    [folder] = words
    told = json.loads((Path(folder) / TASK).read_text())
    try:
        runner = runner_of(told["task_runner"], told["cluster"])
    except NightError as error:
        print(f"pool_shards: {error}", file=sys.stderr)
        return 2
    search_pool.with_options(task_runner=runner, flow_run_name=f"pool of {told['size']:,}")(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
