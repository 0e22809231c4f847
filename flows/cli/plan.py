"""`nightshift plan`: the timetable with dates, local times and UTC."""

from collections.abc import Sequence
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli.evening import evening_verdict, print_evening
from flows.cli.output import AsJson, OutOption, err, out, print_json
from flows.request import load_plan
from models.settings import FusionSettings
from nightshift.states import NightError
from schedules.clock import SystemClock
from schedules.plan import Plan
from schedules.timetable import Timetable, timetable
from schedules.window import night_under_way_or_next, resolve_zone
from tasks.launch import night_device, too_few_gpus
from verdict.scorebook import ScoreBook
from verdict.seal import SealedPreflight

PlanFile = Annotated[Path | None, typer.Argument(help="A plan file; the built-in three nights without one.")]


def parse_day(text: str | None) -> date | None:
    """Return the date that an option names, or None.

    Raises NightError for what is no date.
    """
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise NightError(f"--date {text!r} is not a date; write it like 2026-03-28") from error


def first_day(plan: Plan) -> date:
    """Return the evening of the night under way, else of the next one."""
    zone = resolve_zone(plan.timezone)
    return night_under_way_or_next(SystemClock().now(), plan.starts, plan.hands_over, zone)


def warn_of_utc(plan: Plan) -> None:
    """Say so where "local" is UTC: nobody sleeps by UTC, and servers and Colab are set to it."""
    if plan.timezone == "local" and resolve_zone("local").key in ("UTC", "Etc/UTC"):
        err.print(
            'warning: timezone is "local" and this machine\'s zone is UTC; set a zone in the plan if yours differs',
            style="yellow",
            soft_wrap=True,
        )


def warn_of_gpus(plan: Plan) -> None:
    """Say which nights cannot be opened on this machine because a stage wants more GPUs than a night holds here."""
    for night in plan.nights:
        if missing := too_few_gpus(plan, night):
            err.print(f"warning: {missing}", style="yellow", markup=False, soft_wrap=True)


def plan_command(
    plan: PlanFile = None,
    day: Annotated[str | None, typer.Option("--date", help="Evening of the first night, YYYY-MM-DD.")] = None,
    data: Annotated[
        str | None, typer.Option(help="A data folder or file: also say how long one training of it takes.")
    ] = None,
    runs: OutOption = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Check a plan and print its timetable."""
    loaded, file = load_plan(plan)
    warn_of_utc(loaded)
    warn_of_gpus(loaded)
    first = parse_day(day) or first_day(loaded)
    tables = [timetable(loaded, night, first + timedelta(days=i)) for i, night in enumerate(loaded.nights)]
    floors = floor_sentences(tables, loaded.seeds, data, runs) if data else {}
    evenings = evening_verdicts(loaded, file.parent, data, runs) if data else {}
    if as_json:
        nights = [
            _as_json(t)
            | {"floor": floors.get(t.night.name)}
            | {"evening": e.model_dump(mode="json") if (e := evenings.get(t.night.name)) else None}
            for t in tables
        ]
        print_json({"plan": str(file), "campaign": loaded.campaign, "nights": nights})
        return
    out.print(f"[bold]{escape(loaded.campaign)}[/]  {escape(str(file))}", soft_wrap=True)
    for table in tables:
        _print_night(table)
        if floor := floors.get(table.night.name):
            out.print(f"  {floor}", highlight=False, markup=False, soft_wrap=True)
        if evening := evenings.get(table.night.name):
            print_evening(evening, lines=False)


def evening_verdicts(plan: Plan, folder: Path, data: str, runs: Path) -> dict[str, SealedPreflight]:
    """Return, for each night that is judged, whether it could answer its question on these data.

    Raises DataError where the data set is refused.
    """
    with err.status("looking at the data"):
        book, judged = ScoreBook(), [night for night in plan.nights if night.judge != "none"]
        return {night.name: evening_verdict(plan, folder, night, data, runs, book) for night in judged}


def floor_sentences(
    tables: Sequence[Timetable], seeds: Sequence[int], data: str, runs: Path
) -> dict[str, str]:
    """Return, for each night that trains fusion, what one training of this data needs at least.

    Raises DataError where the data set is refused.
    """
    from models.data import load_split, open_source
    from models.fusion_floor import measure_floor

    stages = [(t, slot) for t in tables for slot in t.slots if slot.stage.module == "models.train_fusion"]
    if not stages:
        return {}
    with err.status("measuring one training"):
        source = open_source(data, runs.resolve() / ".cache")
        if source.kind != "multimodal":
            return {}
        train = load_split(source.splits["train"], source.images)
        return {
            table.night.name: measure_floor(
                train,
                FusionSettings.model_validate(slot.stage.settings),
                60 * slot.planned_minutes,
                night_device(),
            ).sentence(60 * slot.planned_minutes, seeds)
            for table, slot in stages
        }


def _as_json(table: Timetable) -> dict[str, object]:
    return {
        "night": table.night.name,
        "date": table.day.isoformat(),
        "timezone": table.zone.key,
        "start": table.window.start.isoformat(),
        "hand_over": table.window.hand_over.isoformat(),
        "hours": table.window.hours,
        "bedtime_check": table.bedtime.isoformat(),
        "wind_down_min": table.wind_down.total_seconds() / 60,
        "stages": [
            {
                "name": slot.stage.name,
                "start": slot.start.isoformat(),
                "end": slot.end.isoformat(),
                "minutes": slot.planned_minutes,
                "elastic": slot.stage.elastic,
                "command": list(slot.stage.command),
            }
            for slot in table.slots
        ],
        "criteria": [
            {"name": c.metric, "asked": c.asked, "required": c.required, "target": c.target}
            for c in table.night.criteria
        ],
    }


def _print_night(table: Timetable) -> None:
    zone, window = table.zone, table.window
    start, end = window.start.astimezone(zone), window.hand_over.astimezone(zone)
    head = f"{table.night.title}  {start:%a %d %b %Y %H:%M} to {end:%a %d %b %H:%M} {zone.key}"
    wall_hours = (end.replace(tzinfo=None) - start.replace(tzinfo=None)).total_seconds() / 3600
    changed = window.hours != wall_hours
    clock_change = f"  [yellow](the clocks change: this night has {window.hours:g} h)[/]" if changed else ""
    grid = Table()
    for column, justify in (
        ("stage", "left"),
        ("local", "left"),
        ("UTC", "left"),
        ("min", "right"),
        ("", "left"),
    ):
        grid.add_column(column, justify=justify)  # type: ignore[arg-type]
    for slot in table.slots:
        local = f"{slot.start.astimezone(zone):%H:%M}-{slot.end.astimezone(zone):%H:%M}"
        utc = f"{slot.start.astimezone(UTC):%d %b %H:%M}-{slot.end.astimezone(UTC):%H:%M}"
        note = "elastic" if slot.stage.elastic else ""
        grid.add_row(slot.stage.title, local, utc, f"{slot.planned_minutes:g}", note)
    out.print()
    out.print(f"[bold]{head}[/]{clock_change}", highlight=False, soft_wrap=True)
    out.print(grid)
    out.print(
        f"  bedtime check {table.bedtime.astimezone(zone):%H:%M}; judge and hand-over take the last "
        f"{table.wind_down.total_seconds() / 60:g} min",
        highlight=False,
    )
    for criterion in table.night.criteria:
        required = "required" if criterion.required else "wished"
        target = "" if criterion.target is None else f", target {criterion.target:+g}"
        out.print(
            f"  {required:<8} {criterion.metric} {criterion.asked}{target}", highlight=False, markup=False
        )
