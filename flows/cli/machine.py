"""`nightshift doctor`: is this machine fit for a night?"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.cli.output import AsJson, OutOption, err, out, print_json
from flows.doctor import check_scheduling
from tasks.doctor import BAD, Check, examine

STYLE = {"ok": "green", "warn": "yellow", "bad": "red"}


def doctor_command(
    runs: OutOption = Path("runs"),
    quick: Annotated[bool, typer.Option("--quick", help="Skip the trial Prefect server (20 s).")] = False,
    as_json: AsJson = False,
) -> None:
    """Check clocks, GPU, disk, packages, and that Prefect really schedules; exits 2 where a night would fail."""
    checks = examine(runs)
    if not quick:
        with err.status("starting a trial Prefect server"):
            checks.append(check_scheduling())
    if as_json:
        print_json({"checks": [asdict(check) for check in checks]})
    else:
        _print(checks)
    if any(check.state == BAD for check in checks):
        raise typer.Exit(2)


def _print(checks: list[Check]) -> None:
    grid = Table.grid(padding=(0, 2))
    for check in checks:
        grid.add_row(f"[{STYLE[check.state]}]{check.state}[/]", check.name, check.found, check.mend)
    out.print(grid)
