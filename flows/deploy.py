"""Deploying to a work pool: the three deployments on a Prefect server, run by workers wherever the GPU is."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists

from flows.reconcile import paused_deployments
from flows.serve import NAMES, Parameters, deployments_of
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
    return list(NAMES), sorted(paused)
