"""`nightshift schema`: the plan file's keys, for editors and for people."""

from typing import Annotated

import typer

from flows.cli.output import print_json
from models.settings import SETTINGS_OF
from schedules.plan_schema import json_schema, markdown


def schema_command(
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page for people instead.")
    ] = False,
) -> None:
    """Print the JSON schema of the plan file, for your editor."""
    if as_markdown:
        typer.echo(markdown(SETTINGS_OF), nl=False)
    else:
        print_json(json_schema(SETTINGS_OF))
