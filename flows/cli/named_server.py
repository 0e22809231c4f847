"""The Prefect server that a command speaks to: `--api`, or the one that the environment names."""

import os
from typing import Annotated

import typer

from nightshift.states import NightError

ApiOption = Annotated[
    str | None, typer.Option("--api", help="The server's API address; PREFECT_API_URL without it.")
]


def named_server(api: str | None) -> str:
    """Return the server's address, in the environment from now on: Prefect reads it there when it is loaded.

    Raises NightError where none is named.
    """
    url = api or os.environ.get("PREFECT_API_URL")
    if not url:
        raise NightError("no server: set PREFECT_API_URL, or give --api http://127.0.0.1:4200/api")
    os.environ["PREFECT_API_URL"] = url
    return url
