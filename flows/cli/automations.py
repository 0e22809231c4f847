"""`nightshift automations`: what the Prefect server should do by itself."""

import os
from typing import Annotated

import typer

from flows.cli.output import AsJson, out, print_json
from nightshift.states import NightError


def automations_command(
    api: Annotated[
        str | None, typer.Option("--api", help="The server's API address; PREFECT_API_URL without it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Install Nightshift's automations on a Prefect server: dead flow runs, and a message when bedtime says ACT."""
    url = api or os.environ.get("PREFECT_API_URL")
    if not url:
        raise NightError("no server: set PREFECT_API_URL, or give --api http://127.0.0.1:4200/api")
    os.environ["PREFECT_API_URL"] = url
    # Imported here: Prefect takes a second to load, and reads its settings then.
    import httpx

    from flows.automations import install

    try:
        done = install()
    except httpx.HTTPError as error:
        raise NightError(f"{url}: no Prefect server answers: {error}") from error
    if as_json:
        print_json({"automations": [{"name": name, "state": state} for name, state in done]})
        return
    for name, state in done:
        out.print(f"{state}: {name}", highlight=False)
