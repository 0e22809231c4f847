"""`prefect.yaml` by Prefect's own command, on a real server: the deployments that `nightshift deploy` makes."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from flows.serve import deployments_of
from flows.server import client_environment, prefect_server
from schedules.plan_source import BUILT_IN, read_plan

REPOSITORY = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


def cron_of(deployment):
    [schedule] = deployment["schedules"]
    return schedule["schedule"]["cron"], schedule["schedule"]["timezone"], schedule["active"]


def test_prefects_own_command_makes_the_three_deployments_of_the_plan(tmp_path):
    with prefect_server(tmp_path) as url:
        told = os.environ | client_environment(url, tmp_path)
        told |= {
            "PYTHONPATH": str(REPOSITORY), "NIGHTSHIFT_TIMEZONE": "America/New_York", "NIGHTSHIFT_HOME": "/srv/nights",
        }  # fmt: skip
        prefect = [sys.executable, "-m", "prefect"]
        for words in (
            ["work-pool", "create", "nightshift", "--type", "process"],
            ["deploy", "--all", "--no-prompt"],
        ):
            done = subprocess.run(
                [*prefect, *words], cwd=REPOSITORY, env=told, capture_output=True, text=True, timeout=100, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
        there = httpx.post(f"{told['PREFECT_API_URL']}/deployments/filter", json={}, timeout=20).json()
    plan = read_plan(BUILT_IN).model_copy(update={"timezone": "America/New_York"})
    night = {"home": "/srv/nights", "timezone": "America/New_York"}
    ours = deployments_of(plan, night, "/srv/nights", scheduled=True, pool="nightshift")
    made = {one["name"]: one for one in there}
    assert made.keys() == {one.name for one in ours}
    for one in ours:
        other = made[one.name]
        [schedule] = one.schedules
        assert cron_of(other) == (schedule.schedule.cron, schedule.schedule.timezone, True)
        assert other["entrypoint"] == one.entrypoint
        assert other["parameters"] == one.parameters
        assert other["work_pool_name"] == "nightshift"
        assert other["global_concurrency_limit"]["limit"] == 1
        assert other["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
