"""Register the nightly deployment on the server of this environment and wait for a SCHEDULED run.

`python -m flows.scheduling_trial` prints the first scheduled instant and exits 0, or exits 1.
"""

import sys
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import StateType

from flows.request import load_plan
from flows.serve import deployments_of
from schedules.clock import SystemClock

WITHIN_S = 45


def first_scheduled() -> str | None:
    """Return when the nightly deployment is scheduled first (ISO 8601), or None within 45 s."""
    plan, _ = load_plan(None)
    nightly = deployments_of(plan, {}, "runs", scheduled=True)[0]
    deployment_id = UUID(str(nightly.apply()))
    clock = SystemClock()
    limit = clock.now() + timedelta(seconds=WITHIN_S)
    ours = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment_id]))
    while clock.now() < limit:
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(flow_run_filter=ours)
        times = [r.expected_start_time for r in runs if r.state_type is StateType.SCHEDULED]
        found = sorted(time for time in times if time)
        if found:
            return found[0].isoformat()
        clock.wait_until(clock.now() + timedelta(seconds=0.5))
    return None


if __name__ == "__main__":
    first = first_scheduled()
    print(first or "none")
    sys.exit(0 if first else 1)
