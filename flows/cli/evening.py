"""The evening's verdict in the terminal: can tonight answer, as `check`, `plan --data` and a launch print it."""

from pathlib import Path

from rich.markup import escape

from flows.cli.output import out
from flows.request import load_plan
from schedules.plan import Night, Plan
from tasks.launch import NightRequest, make_seal
from verdict.seal import SealedPreflight

JUDGES = {"multimodal": "ranking", "letor": "ranking"}
STYLES = {"yes": "green", "no": "yellow", "halt": "red"}


def evening_verdict(
    plan: Plan, plan_dir: Path, night: Night, data: str | None, runs: Path
) -> SealedPreflight:
    """Return what would be sealed at 23:00 of this night on these data.

    Raises NightError where the data cannot be used.
    """
    request = NightRequest(plan, plan_dir, night, data, runs.resolve(), speed=1.0)
    found = make_seal(request).preflight
    assert found is not None
    return found


def first_ranking_night(kind: str) -> tuple[Plan, Path, Night]:
    """Return the built-in plan and its night that data of this kind are for."""
    plan, file = load_plan(None)
    wanted = "ltr" if kind == "letor" else "fusion"
    return plan, file.parent, next(night for night in plan.nights if night.name == wanted)


def print_evening(found: SealedPreflight, lines: bool = True) -> None:
    """Print the one sentence, why it halts, and what else was looked at."""
    style = STYLES["halt" if found.halted else "yes" if found.can_answer else "no"]
    out.print(f"[{style}]{escape(found.sentence)}[/]", highlight=False, soft_wrap=True)
    for reason in found.halted[1:]:
        out.print(f"  also: {reason}", highlight=False, markup=False, soft_wrap=True)
    for line in found.lines if lines else ():
        out.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
