"""What commands print: one JSON document on stdout with --json, else text for people."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

out = Console()
"""For people: stdout."""
err = Console(stderr=True)
"""Progress, warnings and errors: stderr, also with --json."""

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout, all else on stderr.")
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder that the runs are kept in.")]


def print_json(document: object) -> None:
    """Print one JSON document on stdout, and nothing else."""
    typer.echo(json.dumps(document, indent=1, default=str, ensure_ascii=False))
