"""`nightshift deploy`: the night's deployments on a Prefect server, for workers of a work pool."""

import shlex
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.named_server import ApiOption, named_server
from flows.cli.nights import DataOption
from flows.cli.output import AsJson, OutOption, err, out, print_json
from flows.cli.plan import warn_of_utc
from flows.cli.schedule import night_parameters
from flows.request import load_plan
from nightshift.states import NightError
from schedules.window import resolve_zone


def deploy_command(
    plan_file: Annotated[
        Path | None, typer.Argument(metavar="[PLAN]", help="A plan file; the built-in nights without it.")
    ] = None,
    data: DataOption = None,
    runs: OutOption = Path("runs"),
    pool: Annotated[
        str, typer.Option("--pool", help="The work pool; made where it does not exist.")
    ] = "nightshift",
    night: Annotated[str, typer.Option("--night", help="This night, not the next of the campaign.")] = "",
    speed: Annotated[float, typer.Option("--speed", help="Night seconds per second, to try it out.")] = 1.0,
    api: ApiOption = None,
    as_json: AsJson = False,
) -> None:
    """Put night, bedtime check and morning report on a Prefect server; workers of the pool run them."""
    url = named_server(api)
    plan, file = load_plan(plan_file)
    warn_of_utc(plan)
    home = runs.resolve()
    home.mkdir(parents=True, exist_ok=True)
    parameters = night_parameters(plan, file, night, data, home, speed)
    # Imported here: Prefect takes a second to load, and reads its settings then.
    import httpx

    from flows.deploy import deploy, tuners_of
    from flows.serve import RUNS_AT_ONCE

    try:
        names, paused, told = deploy(plan, parameters, home, pool)
    except httpx.HTTPError as error:
        hint = "; set PREFECT_API_AUTH_STRING" if "401" in str(error) else ""
        raise NightError(f"{url}: no Prefect server that lets us in: {error}{hint}") from error
    zone = resolve_zone(plan.timezone).key
    worker = f"prefect worker start --pool {shlex.quote(pool)} --type process --limit {RUNS_AT_ONCE}"
    if as_json:
        print_json({
            "campaign": plan.campaign, "deployments": names, "paused": paused, "told": told, "pool": pool,
            "pool_of_tuners": tuners_of(pool), "timezone": zone, "worker": worker,
        })  # fmt: skip
        return
    for sentence in told:
        err.print(sentence, style="yellow", markup=False, soft_wrap=True)
    walls = (plan.starts, plan.bedtime_check, plan.hands_over)
    for name, wall in zip_longest(names, walls):
        when = f"{wall:%H:%M} {zone}" if wall else "when somebody asks for it (docs/operations.md)"
        out.print(f"{name}: {when}{', paused' if name in paused else ''}", highlight=False)
    err.print(f"On the machine with the GPU: {worker}", highlight=False, soft_wrap=True)
