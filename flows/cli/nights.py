"""`nightshift rehearse` and `nightshift run`: nights from beginning to hand-over."""

from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from flows.cli.night_process import NightOutcome, run_night
from flows.cli.output import AsJson, OutOption, err, out, print_json
from flows.cli.plan import first_day, parse_day, warn_of_utc
from flows.request import load_plan
from flows.server import healthy, prefect_server, server_pid
from models.data_sync import full_path, is_missing
from nightshift.states import NightError
from schedules.plan_source import find_night
from schedules.timetable import timetable
from tasks.injection import Injector, parse_faults
from tasks.launch import NightRequest, make_seal

REHEARSAL_SPEED = 200.0
"""An eight-hour night in 144 s."""

DataOption = Annotated[
    str | None,
    typer.Option(
        "--data", help="A data folder or file, or its address; the built-in bar catalogue without it."
    ),
]
PlanOption = Annotated[
    Path | None, typer.Option("--plan", help="A plan file; the built-in nights without it.")
]
WORD_STYLE = {"GO": "green", "NO_GAIN": "blue", "PAUSE_AND_FIX": "yellow", "STOP": "bold red"}


def rehearse_command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NIGHT]...", help="Nights; all without any.")
    ] = None,
    plan: PlanOption = None,
    data: DataOption = None,
    speed: Annotated[float, typer.Option("--speed", help="Night seconds per second.")] = REHEARSAL_SPEED,
    runs: OutOption = Path("runs"),
    day: Annotated[str | None, typer.Option("--date", help="Evening of the first night, YYYY-MM-DD.")] = None,
    faults: Annotated[
        str, typer.Option("--faults", help="Faults to have, like crash@01:10,hang@03:20,reboot@01:45.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Run nights in compressed time: real training, real Prefect, real judge."""
    if not 1 < speed <= 100_000:
        raise NightError(f"--speed {speed:g}: give a number above 1; for real time use `nightshift run`")
    requests = _requests(names or [], plan, data, runs, speed, day)
    for request in requests:
        make_seal(request)  # refuses bad data and a speed that does not fit before anything is started
        _injector(request, faults)
    _run_all(requests, plan, as_json, faults)


def run_command(
    night: Annotated[str, typer.Argument(metavar="NIGHT", help="A night of the plan.")],
    plan: PlanOption = None,
    data: DataOption = None,
    runs: OutOption = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Run one night in real time, starting now, handing over at the plan's time."""
    requests = [replace(request, day=None) for request in _requests([night], plan, data, runs, 1.0, None)]
    make_seal(requests[0])
    _run_all(requests, plan, as_json)


def _injector(request: NightRequest, faults: str) -> Injector | None:
    if not faults or request.day is None:
        return None
    planned = parse_faults(faults, timetable(request.plan, request.night, request.day))
    return Injector(planned, server_pid(request.home))


def _requests(
    names: list[str], plan: Path | None, data: str | None, runs: Path, speed: float, day: str | None
) -> list[NightRequest]:
    loaded, file = load_plan(plan)
    warn_of_utc(loaded)
    if is_missing(data):
        raise NightError(f"--data {data}: there is no such file or folder")
    chosen = [find_night(loaded, name) for name in names] or list(loaded.nights)
    first = parse_day(day) or first_day(loaded)
    return [
        NightRequest(
            plan=loaded,
            plan_dir=file.resolve().parent,
            night=night,
            data=full_path(data),
            home=runs.resolve(),
            speed=speed,
            day=first + timedelta(days=number),
        )
        for number, night in enumerate(chosen)
    ]


def _run_all(requests: list[NightRequest], plan: Path | None, as_json: bool, faults: str = "") -> None:
    outcomes = []
    home = requests[0].home
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as servers:
        url = ""
        for request in requests:
            if not url or not healthy(url):
                url = servers.enter_context(prefect_server(home))
                page = url.removesuffix("/api")
                err.print(f"Prefect UI while this runs: {page}", style="dim", soft_wrap=True)
            outcome = run_night(request, plan, url, _injector(request, faults))
            outcomes.append(outcome)
            if not as_json:
                _print_outcome(outcome)
    if as_json:
        print_json({"nights": [outcome.document for outcome in outcomes]})
    if not all(outcome.handed_over for outcome in outcomes):
        raise typer.Exit(2)


def _print_outcome(outcome: NightOutcome) -> None:
    style = WORD_STYLE.get(outcome.word, "bold")
    out.print(
        f"[{style}]{escape(outcome.word)}[/]  {escape(outcome.sentence)}", soft_wrap=True, highlight=False
    )
    out.print(f"  report: {escape(str(outcome.report))}", soft_wrap=True, highlight=False)
