"""`nightshift new`: a night of your own to start from."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.output import AsJson, err, out, print_json
from tasks.new_night import new_night


def new_command(
    night: Annotated[str, typer.Argument(metavar="NIGHT", help="Its name: small letters, digits and '-'.")],
    folder: Annotated[
        Path, typer.Option("--in", help="Folder that the two files are written into.")
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """Write a plan with this night and a trainer skeleton that already runs under it."""
    plan, trainer = new_night(night, folder)
    if as_json:
        print_json({"plan": str(plan), "trainer": str(trainer)})
        return
    out.print(f"{plan}\n{trainer}", highlight=False)
    err.print(f"Try it: nightshift rehearse {night} --plan {plan}", highlight=False, soft_wrap=True)
