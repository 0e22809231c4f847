"""Deploying to a work pool: the nightly three on a Prefect server, and `tuner` on demand; workers run them."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from flows.reconcile import NIGHT, paused_deployments, reconcile
from flows.serve import NAMES, Parameters, deployment_of, deployments_of
from flows.tuner import TUNER, tuner
from schedules.plan import Plan

POOL_TYPE = "process"


class Deployed(NamedTuple):
    """What now stands on the server, and what was found there."""

    names: list[str]
    paused: list[str]
    """Those that a person has paused: they stay so."""
    told: list[str]
    """Runs that were ended because nobody stands behind them, and what of an earlier deployment was replaced."""


def tuners_of(pool: str) -> str:
    """Return the pool of those who only tune along: a helper must not be given the night itself."""
    return f"{pool}-tuners"


def deploy(plan: Plan, night_parameters: Parameters, home: Path, pool: str) -> Deployed:
    """Return what now stands on the server.

    Pools are made where they do not exist. Raises httpx.HTTPError where no server answers.
    """
    with get_client(sync_client=True) as client:
        for name in (pool, tuners_of(pool)):
            with suppress(ObjectAlreadyExists):  # somebody's own settings stay
                client.create_work_pool(WorkPoolCreate(name=name, type=POOL_TYPE))
        told = _replaced(client, night_parameters)
    told = reconcile(NAMES, plan, home) + told
    paused = paused_deployments(NAMES)
    for deployment in deployments_of(
        plan, night_parameters, str(home), scheduled=True, paused=paused, pool=pool
    ):
        deployment.apply()
    deployment_of(tuner, TUNER, plan, {"home": str(home)}, tuners_of(pool)).apply()
    return Deployed([*NAMES, TUNER], sorted(paused), told)


def _replaced(client: SyncPrefectClient, new: Parameters) -> list[str]:
    """Return what the night that this server has fired so far is about to lose: one server fires one campaign."""
    try:
        old = client.read_deployment_by_name(NIGHT).parameters
    except ObjectNotFound:
        return []
    changed = [name for name in ("plan", "home") if old.get(name) != new.get(name)]
    return [f"{NIGHT}: {name} was {old.get(name)}, is now {new.get(name)}" for name in changed]
