"""What a crash has left on the Prefect server: dead runs hold concurrency slots, late ones stand in tonight's way.

Called before serving begins. A night that still lives, here or on another machine, is left alone.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from flows.request import run_of_flow_run
from nightshift.instant import wall_now
from schedules.plan import Plan
from schedules.window import night_under_way_or_next, resolve_zone
from tasks.process_identity import ProcessIdentity

HELD = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
NIGHT = "night/nightly"
QUIET_FOR = timedelta(minutes=10)
"""A run that no process of this home is known for keeps its state for so long: it may just be starting."""
PAGE = 200


def paused_deployments(names: Sequence[str]) -> set[str]:
    """Return those of these deployments that a person has paused on the server; unknown ones are not."""
    paused = set()
    with get_client(sync_client=True) as client:
        for name in names:
            try:
                found = client.read_deployment_by_name(name)
            except ObjectNotFound:
                continue
            if found.paused or any(not schedule.active for schedule in found.schedules):
                paused.add(name)
    return paused


def reconcile(names: Sequence[str], plan: Plan, home: Path, now: datetime | None = None) -> list[str]:
    """End what is dead or too late of these deployments' runs; return one sentence for each.

    `now` is UTC.
    """
    now = now or wall_now()
    with get_client(sync_client=True) as client:
        told = []
        for name in names:
            for run in _runs(client, name.split("/")[1]):
                sentence = _end(client, run, plan, home, now, name.startswith("night/"))
                told += [f"{name}, {run.name}: {sentence}"] if sentence else []
        return told


def _runs(client: SyncPrefectClient, deployment: str) -> list[FlowRun]:
    wanted = DeploymentFilter(name=DeploymentFilterName(any_=[deployment]))
    found: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(deployment_filter=wanted, limit=PAGE, offset=len(found))
        found += page
        if len(page) < PAGE:
            return [run for run in found if run.state and not run.state.is_final()]


def _end(
    client: SyncPrefectClient, run: FlowRun, plan: Plan, home: Path, now: datetime, of_night: bool
) -> str:
    """Return why a run was ended, or an empty text; bedtime and morning checks never take ten minutes."""
    state = run.state
    if state is None:
        return ""
    if state.type is StateType.SCHEDULED:
        if not _over(run, plan, now):
            return ""
        reason = "too late: its night was over before anybody served it"
        client.set_flow_run_state(run.id, Cancelled(name="Skipped", message=reason), force=True)
        return reason
    alive = _alive(home, str(run.id))
    if state.type not in HELD or alive or now - state.timestamp < QUIET_FOR:
        return ""
    if of_night and state.type is not StateType.PENDING and alive is None:
        return ""  # another machine's night, for all that is known here
    reason = f"{state.name} since {state.timestamp:%H:%M} UTC with no process behind it"
    client.set_flow_run_state(run.id, Crashed(message=reason), force=True)
    return reason


def _over(run: FlowRun, plan: Plan, now: datetime) -> bool:
    """Return whether the night that this run was scheduled in has been over since."""
    scheduled = run.expected_start_time
    if scheduled is None or scheduled >= now:
        return False
    zone = resolve_zone(plan.timezone)
    then = night_under_way_or_next(scheduled, plan.starts, plan.hands_over, zone)
    return then < night_under_way_or_next(now, plan.starts, plan.hands_over, zone)


def _alive(home: Path, flow_run_id: str) -> bool | None:
    """Return whether the process of this flow run lives; None where this home knows nothing of it."""
    run = run_of_flow_run(home, flow_run_id)
    if run is None:
        return None
    try:
        return ProcessIdentity(**json.loads(run.flow_identity.read_text())["process"]).alive()
    except (OSError, ValueError, KeyError, TypeError):
        return None
