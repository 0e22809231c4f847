"""Deploying to a work pool: the nightly three on a Prefect server, and `tuner` on demand; workers run them."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists
from prefect.types.entrypoint import EntrypointType

from flows.reconcile import paused_deployments
from flows.serve import NAMES, Parameters, deployments_of
from flows.tuner import TUNER, tuner
from schedules.plan import Plan

POOL_TYPE = "process"


def deploy(
    plan: Plan, night_parameters: Parameters, home: Path, pool: str
) -> tuple[list[str], Sequence[str]]:
    """Return the names of the deployments now on the server, and which of them stay paused.

    The pool is made where it does not exist. Raises httpx.HTTPError where no server answers.
    """
    with (
        get_client(sync_client=True) as client,
        suppress(ObjectAlreadyExists),
    ):  # somebody's own settings stay
        client.create_work_pool(WorkPoolCreate(name=pool, type=POOL_TYPE))
    paused = paused_deployments(NAMES)
    for deployment in deployments_of(
        plan, night_parameters, str(home), scheduled=True, paused=paused, pool=pool
    ):
        deployment.apply()
    on_demand = tuner.to_deployment(
        name=TUNER.split("/")[1],
        parameters={"home": str(home)},
        work_pool_name=pool,
        entrypoint_type=EntrypointType.MODULE_PATH,
        tags=["nightshift", plan.campaign],
        description=tuner.description,
    )
    assert isinstance(on_demand, RunnerDeployment)  # it is none inside of an event loop alone
    on_demand.apply()
    return [*NAMES, TUNER], sorted(paused)
