"""`nightshift stop`, `watch`, `bedtime`, `morning`: a night that runs, or has just run."""

from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import RenderableType
from rich.live import Live

from flows.cli.night_process import outcome_of
from flows.cli.night_screen import night_screen
from flows.cli.output import AsJson, err, out, print_json
from nightshift.instant import wall_now
from nightshift.rundir import RunDir
from nightshift.states import NightError
from schedules.clock import SystemClock
from schedules.plan import WALL_TIME
from tasks.campaign_page import tonight, write_campaign
from tasks.forecast import check_bedtime, newest_run, spoken_lines
from tasks.handoff import read_handoff
from tasks.launch import nightwatch_alive
from tasks.night_line import ask
from tasks.night_seen import stage_losses
from tasks.night_status import NightStatus, read_status
from tasks.night_words import local
from tasks.tonight import why_not_tonights
from verdict.seal import Seal, read_seal

RunOption = Annotated[
    Path | None, typer.Option("--run", help="A run folder; the newest one in --out without it.")
]
HomeOption = Annotated[Path, typer.Option("--out", help="Folder that the runs are kept in.")]


def chosen_run(run: Path | None, home: Path) -> RunDir:
    """Return the run that the options name.

    Raises NightError where there is none.
    """
    if run is None:
        return newest_run(home)
    if not run.is_dir():
        raise NightError(f"--run {run}: there is no such folder")
    return RunDir(run.resolve())


def hand_over_at(text: str, seal: Seal, now: datetime) -> datetime:
    """Return the next instant at which the plan's wall clock shows this time.

    Raises NightError where that is not a wall time, or not before the hand-over.
    """
    match = WALL_TIME.fullmatch(text)
    if not match:
        raise NightError(f"--at {text!r} is not a wall time; write it like 03:00")
    zone = ZoneInfo(seal.timezone)
    here = now.astimezone(zone)
    wall = here.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    instant = wall if wall > here else (wall + timedelta(days=1))
    if instant >= seal.window.hand_over:
        raise NightError(f"--at {text}: the night hands over before that anyway")
    return instant


def stop_command(
    at: Annotated[
        str | None, typer.Option("--at", help="Hand over by this wall time instead of now.")
    ] = None,
    run: RunOption = None,
    home: HomeOption = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Give the GPU back: save, judge what exists, hand over."""
    chosen = chosen_run(run, home)
    if not nightwatch_alive(chosen):
        raise NightError(f"{chosen.path}: this night is not running, so there is nothing to stop")
    seal = read_seal(chosen)
    request = {"ask": "stop"}
    if at:
        instant = hand_over_at(at, seal, seal.make_clock().now())
        request["at"] = instant.isoformat()
    ask(chosen, request)
    said = (
        f"{seal.night.title} hands over at {at}"
        if at
        else f"{seal.night.title} saves, is judged, hands over now"
    )
    if as_json:
        print_json(
            {"night": seal.night.name, "run_dir": str(chosen.path), "stopping": True, "at": request.get("at")}
        )
    else:
        out.print(said, highlight=False)


def watch_command(
    once: Annotated[bool, typer.Option("--once", help="Print it once and return.")] = False,
    run: RunOption = None,
    home: HomeOption = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Watch a running night."""
    chosen = chosen_run(run, home)
    seal = read_seal(chosen)
    zone, clock = ZoneInfo(seal.timezone), seal.make_clock()

    def screen() -> RenderableType:
        status = _status(chosen)
        losses = next((found for s in reversed(status.stages) if (found := stage_losses(chosen, s))), [])
        return night_screen(status, losses, clock.now(), zone, *out.size)

    if as_json:
        print_json(asdict(_status(chosen)))
    elif once or not out.is_terminal:
        out.print(screen())
    else:
        real = SystemClock()
        with Live(screen(), console=out, screen=True, auto_refresh=False) as live:
            while nightwatch_alive(chosen):
                real.wait_until(real.now() + timedelta(seconds=1))
                live.update(screen(), refresh=True)
        out.print(screen())


def _status(run: RunDir) -> NightStatus:
    status = read_status(run.status)
    if status is None:
        raise NightError(f"{run.path}: the night has not begun")
    return status


def _warn_of_old(newest: RunDir | None) -> None:
    missing = why_not_tonights(newest, wall_now()) if newest else ""
    if missing:
        err.print(f"warning: {missing}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def bedtime_command(run: RunOption = None, home: HomeOption = Path("runs"), as_json: AsJson = False) -> None:
    """Check whether a person may go to bed."""
    chosen = chosen_run(run, home)
    _warn_of_old(chosen if run is None else None)
    check = check_bedtime(chosen)
    if as_json:
        print_json(asdict(check))
        return
    for number, line in enumerate(spoken_lines(check, read_seal(chosen).timezone)):
        out.print(line, style="bold" if number == 0 else None, highlight=False, markup=False, soft_wrap=True)


def morning_command(run: RunOption = None, home: HomeOption = Path("runs"), as_json: AsJson = False) -> None:
    """Say what came of the night."""
    chosen = chosen_run(run, home)
    _warn_of_old(chosen if run is None else None)
    if read_handoff(chosen) is None:
        state = "is still running" if nightwatch_alive(chosen) else "ended without a hand-over"
        hand_over = local(
            read_seal(chosen).window.hand_over.isoformat(), ZoneInfo(read_seal(chosen).timezone)
        )
        err.print(f"{chosen.path.name} {state}; hand-over is planned for {hand_over}", highlight=False)
        raise typer.Exit(2)
    outcome = outcome_of(chosen)
    seal = read_seal(chosen)
    campaign = write_campaign(Path(seal.home), seal.plan)
    if as_json:
        print_json({"nights": [outcome.document], "campaign": str(campaign)})
        return
    out.print(f"{outcome.word}  {outcome.sentence}", highlight=False, markup=False, soft_wrap=True)
    next_step = outcome.document.get("next_step")
    out.print(f"next: {next_step}", highlight=False, markup=False, soft_wrap=True)
    out.print(f"report: {outcome.report}", highlight=False, markup=False, soft_wrap=True)
    out.print(
        f"tonight: {tonight(Path(seal.home), seal.plan)}", highlight=False, markup=False, soft_wrap=True
    )
    out.print(f"campaign: {campaign}", highlight=False, markup=False, soft_wrap=True)
