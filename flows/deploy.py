"""Deploying to a work pool: the nightly three on a Prefect server, and `tuner` on demand; workers run them."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists

from flows.reconcile import paused_deployments
from flows.serve import NAMES, Parameters, deployment_of, deployments_of
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
    deployment_of(tuner, TUNER, plan, {"home": str(home)}, pool).apply()
    return [*NAMES, TUNER], sorted(paused)
