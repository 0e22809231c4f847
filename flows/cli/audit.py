"""`nightshift audit`: the judge turned on results that Nightshift did not produce."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from flows.cli.evening import evening_of
from flows.cli.output import AsJson, OutOption, err, out, print_json
from models.data import open_source
from models.data_production import is_production
from nightshift.states import NightError
from verdict.answer import BELIEVED, CANNOT_TELL, NOT_BELIEVED, Answer
from verdict.audit_features import audit_features, holds_vectors
from verdict.metric_function import check_metric
from verdict.results_table import audit_results

FEATURES = (".npz", ".npy", ".db", ".sqlite", ".sqlite3")
TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
EXIT_CODES = {BELIEVED: 0, CANNOT_TELL: 10, NOT_BELIEVED: 20}
STYLES = {BELIEVED: "green", CANNOT_TELL: "yellow", NOT_BELIEVED: "red"}
SEEN = "seen_"
"""Facts that are sentences."""
KINDS = (
    "a metric (module:function or file.py:function), a table of per-query results (csv, tsv, jsonl, json, parquet), "
    "a file of features (npz, npy, parquet, sqlite), or a data set"
)
Things = Annotated[list[str], typer.Argument(metavar="PATH...", help=f"What to look at: {KINDS}.")]


def audit_command(paths: Things, runs: OutOption = Path("runs"), as_json: AsJson = False) -> None:
    """Say what can be believed of results that Nightshift did not produce, and why.

    Exits 0 where all of it can be believed, 20 where some of it must not be, 10 where it cannot be told, and 2
    on bad input. Nobody's code runs in this process, and no pickle is ever executed.
    """
    answers: list[Answer] = []
    with err.status("looking"):
        for path in paths:
            answers += audit(path, runs)
    if as_json:
        print_json({"answers": [asdict(answer) for answer in answers]})
    else:
        print_answers(answers)
    raise typer.Exit(max(EXIT_CODES[answer.belief] for answer in answers))


def audit(thing: str, runs: Path) -> list[Answer]:
    """Return what is said of one thing that a person named.

    Raises NightError where it is nothing that can be looked at.
    """
    path = Path(thing)
    if not path.exists():
        if ":" in thing:
            return [check_metric(thing, Path.cwd()).answer()]
        raise NightError(f"{thing}: there is no such file; give {KINDS}")
    if (path / "seal.json").is_file():
        raise NightError(f"{thing}: this is a run of Nightshift; judge it with `nightshift judge {thing}`")
    suffix = path.suffix.lower()
    if path.is_dir() or (is_production(path) and is_claimed_data(path)):
        return [audit_data(thing, runs)]
    if suffix in FEATURES or (suffix == ".parquet" and holds_vectors(path)):
        return audit_features(path)
    if suffix in TABLES:
        return audit_results(path)
    raise NightError(
        f"{thing}: {suffix or 'a file without an ending'} is nothing I can look at; give {KINDS}"
    )


def is_claimed_data(path: Path) -> bool:
    """Return whether a JSON file is a data set of the person's format, not a table of results."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and "inspirations" in record


def audit_data(where: str, runs: Path) -> Answer:
    """Return what is said of a data set: whether it can answer a question, and what it gives away."""
    source = open_source(where, runs.resolve() / ".cache")
    found = evening_of(source.kind, where, runs)
    belief = NOT_BELIEVED if found.halted else BELIEVED if found.can_answer else CANNOT_TELL
    sentence = found.sentence.replace("Halted before any GPU hour is spent: ", "").replace(
        "Tonight", "This data set"
    )
    facts: dict[str, float | int | str] = {f"{SEEN}{i + 1}": line for i, line in enumerate(found.lines)}
    return Answer(
        source.name, belief, sentence, facts, "" if found.can_answer else "`nightshift check` says more."
    )


def print_answers(answers: Sequence[Answer]) -> None:
    """Print one block per thing: the belief, the reason, the figures behind it, what to do."""
    for answer in answers:
        style = STYLES[answer.belief]
        out.print(
            f"[bold {style}]{answer.belief}[/]  {escape(answer.subject)}", highlight=False, soft_wrap=True
        )
        out.print(f"  {capital(answer.sentence)}", highlight=False, markup=False, soft_wrap=True)
        seen = [str(value) for name, value in answer.facts.items() if name.startswith(SEEN)]
        figures = [_fact(name, value) for name, value in answer.facts.items() if not name.startswith(SEEN)]
        for line in [*seen, *(["; ".join(figures)] if figures else [])]:
            out.print(f"  {line}", style="dim", highlight=False, markup=False, soft_wrap=True)
        if answer.advice:
            out.print(f"  next: {capital(answer.advice)}", highlight=False, markup=False, soft_wrap=True)


def capital(sentence: str) -> str:
    """Return a sentence with a capital first letter, unless that is a name in code."""
    first = sentence.split(" ", 1)[0]
    return sentence if set("`_:./") & set(first) else f"{sentence[:1].upper()}{sentence[1:]}"


def _fact(name: str, value: float | int | str) -> str:
    return f"{name.replace('_', ' ')}: {f'{value:.4g}' if isinstance(value, float) else value}"
