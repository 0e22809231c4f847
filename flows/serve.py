"""Serving the three deployments: the night, the bedtime check, the morning report.

`python -m flows.serve REQUEST_JSON` serves until it is ended; the command line starts it.
"""

import json
import sys
from collections.abc import Collection
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Flow, serve
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron, Schedule
from prefect.states import Scheduled
from prefect.types.entrypoint import EntrypointType

from flows.bedtime import bedtime
from flows.morning import morning
from flows.night import night
from flows.reconcile import NIGHT, paused_deployments, reconcile
from nightshift.states import NightError
from schedules.clock import SystemClock
from schedules.plan import Plan
from schedules.window import resolve_zone

RUNS_AT_ONCE = 3
"""A night, its bedtime check, its morning report."""
BEDTIME, MORNING = "bedtime/at-bedtime", "morning/in-the-morning"
NAMES = (NIGHT, BEDTIME, MORNING)
ONCE = ("night/once", "bedtime/once", "morning/once")
"""The same for one-off runs: on a server that fires other nights by their schedules nothing of those is replaced."""
Parameters = dict[str, str | float | None]


def cron_at(wall: time, zone: str) -> Schedule:
    """Return the daily schedule at this wall time of this zone."""
    return Cron(f"{wall.minute} {wall.hour} * * *", timezone=zone)


def deployments_of(
    plan: Plan,
    night_parameters: Parameters,
    home: str,
    scheduled: bool,
    paused: Collection[str] = (),
    pool: str | None = None,
) -> list[RunnerDeployment]:
    """Return the three deployments, with their daily schedules or, under the names of `ONCE`, without any.

    Those named in `paused` stay paused. `pool` as in `deployment_of`.
    """
    zone = resolve_zone(plan.timezone).key
    one_at_a_time = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    made: list[tuple[Flow[Any, Any], time, Parameters]] = [
        (night, plan.starts, night_parameters),
        (bedtime, plan.bedtime_check, {"home": home}),
        (morning, plan.hands_over, {"home": home}),
    ]
    deployments = []
    for name, (flow, wall, parameters) in zip(NAMES if scheduled else ONCE, made, strict=True):
        schedule = cron_at(wall, zone) if scheduled else None
        deployments.append(
            deployment_of(flow, name, plan, parameters, pool, schedule, one_at_a_time, paused=name in paused)
        )
    return deployments


def deployment_of(
    flow: Flow[Any, Any],
    name: str,
    plan: Plan,
    parameters: Parameters,
    pool: str | None,
    schedule: Schedule | None = None,
    limit: ConcurrencyLimitConfig | None = None,
    paused: bool = False,
) -> RunnerDeployment:
    """Return the deployment `FLOW/NAME`; with a `pool` a worker runs it, which imports this package by itself."""
    deployment = flow.to_deployment(
        name=name.split("/")[1],
        parameters=parameters,
        work_pool_name=pool,
        entrypoint_type=EntrypointType.MODULE_PATH if pool else EntrypointType.FILE_PATH,
        tags=["nightshift", plan.campaign],
        description=flow.description,
        schedule=schedule,
        concurrency_limit=limit,
        paused=paused,
    )
    if not isinstance(deployment, RunnerDeployment):  # a coroutine inside of an event loop
        raise NightError("deployments are made outside of an event loop")
    return deployment


def wait_for_deployment(name: str, within_s: float) -> None:
    """Return once the serving process has registered this deployment.

    Raises NightError where it has not within `within_s` real seconds.
    """
    clock = SystemClock()
    limit = clock.now() + timedelta(seconds=within_s)
    while clock.now() < limit:
        try:
            with get_client(sync_client=True) as client:
                client.read_deployment_by_name(name)
            return
        except ObjectNotFound:
            clock.wait_until(clock.now() + timedelta(seconds=0.5))
    raise NightError(f"deployment {name} was not registered within {within_s:g} s; see .prefect/serve.log")


def schedule_once(name: str, at: datetime, parameters: Parameters) -> str:
    """Return the id of a new one-off flow run of this deployment, scheduled for `at`."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(name)
        run = client.create_flow_run_from_deployment(
            deployment.id, parameters=parameters, state=Scheduled(scheduled_time=at)
        )
        return str(run.id)


def state_of(flow_run_id: str) -> tuple[str, bool]:
    """Return the name of a flow run's state, and whether it is final."""
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(flow_run_id)).state
        return (state.name or "", state.is_final()) if state else ("", False)


def main(request_file: Path) -> None:
    """Serve the deployments that a JSON file describes, until ended."""
    request = json.loads(request_file.read_text())
    plan = Plan.model_validate(request["plan"])
    names = NAMES if request["scheduled"] else ONCE
    for told in reconcile(names, plan, Path(request["home"])):
        print(f"reconciled: {told}", flush=True)
    paused = paused_deployments(names)
    served = deployments_of(plan, request["parameters"], request["home"], request["scheduled"], paused)
    # Schedules are not paused at the end: the next start could not tell that from a person's own pause.
    serve(*served, pause_on_shutdown=False, limit=RUNS_AT_ONCE, print_starting_message=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
