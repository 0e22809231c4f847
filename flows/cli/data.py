"""`nightshift check DATA`: is this data fit for a night?"""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.cli.evening import evening_of, print_evening
from flows.cli.output import AsJson, OutOption, err, out, print_json
from models.data import SplitSummary, check_source, corrected_example, summary
from models.data_sync import is_missing
from models.dataset import DataSource, Problem
from nightshift.states import NightError
from verdict.seal import SealedPreflight

HALTED = 20
"""Exit code for data on which a night would be halted."""
SHOWN = 8
"""Problems printed in full; the rest are counted."""


def check_command(
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="A folder or file; the built-in catalogue without it."),
    ] = None,
    runs: OutOption = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Check a data set before the night: what is wrong with it, and whether it can answer the question.

    Exits 2 where it would be refused, 20 where a night on it would be halted at 23:00.
    """
    if is_missing(data):
        raise NightError(f"{data}: there is no such file or folder")
    with err.status("checking"):
        source, problems = check_source(data, runs.resolve() / ".cache")
        figures = summary(source) if source else None
        evening = evening_of(source.kind, data, runs) if source else None
    if as_json:
        print_json(_document(source, problems, as_records(figures) if figures else None, evening))
    else:
        _print(source, problems, as_records(figures) if figures else {})
        if evening:
            print_evening(evening)
    if source is None:
        raise typer.Exit(2)
    if evening and evening.halted:
        raise typer.Exit(HALTED)


def as_records(figures: dict[str, SplitSummary]) -> dict[str, object]:
    """Return the summaries as JSON fields, by split."""
    return {split: asdict(figure) for split, figure in figures.items()}


def _document(
    source: DataSource | None,
    problems: list[Problem],
    figures: dict[str, object] | None,
    evening: SealedPreflight | None,
) -> dict[str, object]:
    return {
        "usable": source is not None,
        "kind": source.kind if source else None,
        "name": source.name if source else None,
        "summary": figures,
        "facts": dict(source.facts) if source else {},
        "evening": evening.model_dump(mode="json") if evening else None,
        "problems": [asdict(problem) for problem in problems],
        "counts": dict(Counter(problem.kind for problem in problems)),
    }


def _print(source: DataSource | None, problems: list[Problem], figures: dict[str, object]) -> None:
    if source:
        out.print(f"[green]usable[/]  {source.name} ({source.kind})", highlight=False)
        grid = Table.grid(padding=(0, 2))
        for name, value in {**figures, **source.facts}.items():
            grid.add_row(name.replace("_", " "), _spoken(value))
        out.print(grid)
    else:
        out.print("[red]refused[/]: nothing of it was used, nothing was changed")
    for kind, count in Counter(problem.kind for problem in problems).items():
        out.print(f"{count} x {kind.replace('_', ' ')}", highlight=False)
    for problem in problems[:SHOWN]:
        fate = "refused" if problem.fatal else "set aside"
        line = f"  {problem.where}: {problem.what} ({fate}); {problem.mend}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    if problems:
        out.print("one line corrected:", highlight=False)
        out.print(f"  {corrected_example(problems[0])}", highlight=False, markup=False, soft_wrap=True)


def _spoken(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_spoken(part)}" for key, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
