"""The evening's verdict in the terminal: can tonight answer, as `check`, `plan --data` and a launch print it."""

from pathlib import Path

from rich.markup import escape

from flows.cli.output import out
from flows.request import load_plan
from schedules.plan import Night, Plan
from tasks.launch import NightRequest, make_seal
from verdict.scorebook import ScoreBook
from verdict.seal import SealedPreflight

STYLES = {"yes": "green", "no": "yellow", "halt": "red"}


def evening_verdict(
    plan: Plan, plan_dir: Path, night: Night, data: str | None, runs: Path, book: ScoreBook | None = None
) -> SealedPreflight:
    """Return what would be sealed at 23:00 of this night on these data; a `book` is shared by several nights.

    Raises NightError where the data cannot be used.
    """
    request = NightRequest(plan, plan_dir, night, data, runs.resolve(), speed=1.0)
    found = make_seal(request, book).preflight
    assert found is not None
    return found


def evening_of(kind: str, data: str | None, runs: Path) -> SealedPreflight:
    """Return the evening's verdict on these data for the built-in night that data of this kind are for.

    Raises NightError where the data cannot be used.
    """
    plan, file = load_plan(None)
    wanted = "ltr" if kind == "letor" else "fusion"
    night = next(night for night in plan.nights if night.name == wanted)
    return evening_verdict(plan, file.parent, night, data, runs)


def print_evening(found: SealedPreflight, lines: bool = True) -> None:
    """Print the one sentence, why it halts, and what else was looked at."""
    style = STYLES["halt" if found.halted else "yes" if found.can_answer else "no"]
    out.print(f"[{style}]{escape(found.sentence)}[/]", highlight=False, soft_wrap=True)
    for reason in found.halted[1:]:
        out.print(f"  also: {reason}", highlight=False, markup=False, soft_wrap=True)
    for line in found.lines if lines else ():
        out.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
