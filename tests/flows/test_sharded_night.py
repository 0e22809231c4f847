"""A rehearsed candidates night whose large pool is searched in shards, as Prefect tasks on a local Dask cluster."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nightshift.rundir import RunDir
from schedules.plan_source import BUILT_IN
from tasks.handoff import read_handoff

REPOSITORY = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.world, pytest.mark.timeout(500)]
SIZE = 500_000


def test_a_night_searches_its_large_pool_in_shards_and_hands_over_in_time(tmp_path):
    text = BUILT_IN.read_text().replace("pools = [10000, 100000, 1000000]", f"pools = [10000, {SIZE}]")
    assert str(SIZE) in text
    text = text.replace("recall_target = 0.95", 'recall_target = 0.95\nshards = 2\ntask_runner = "dask"')
    (tmp_path / "nights.toml").write_text(text)
    told = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "NIGHT_"))}
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli.app", "rehearse", "candidates", "--plan", "nights.toml", "--speed", "150"],
        cwd=tmp_path, env=told | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, timeout=450,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [run] = [RunDir(path.parent) for path in tmp_path.glob("runs/*/candidates/seal.json")]
    stage = run.stage("pools")
    assert f"2 of 2 shards of {SIZE} by dask" in stage.output.read_text()
    assert json.loads(stage.exit.read_text())["ending"] in ("FINISHED", "STOPPED_AT_DEADLINE")
    assert f'"size": {SIZE}' in (stage.out / "pools.json").read_text()
    assert read_handoff(run).on_time
