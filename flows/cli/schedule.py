"""`nightshift start`: the night, its bedtime check and the morning report, fired by Prefect."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.nights import DataOption
from flows.cli.output import AsJson, OutOption, err, out, print_json
from flows.cli.plan import warn_of_gpus, warn_of_utc
from flows.request import load_plan
from flows.server import LOOPBACK, client_environment, end, prefect_server
from models.data_sync import full_path
from nightshift.checkpoint import write_atomically
from nightshift.states import NightError
from schedules.clock import SystemClock
from schedules.plan import Plan
from schedules.plan_source import BUILT_IN, find_night
from schedules.timetable import timetable
from schedules.window import resolve_zone
from tasks.campaign import next_of_campaign

DEFAULT_PORT = 4200
REGISTER_WITHIN_S = 60
MORNING_WITHIN_S = 600.0
"""Real seconds after its time within which the morning report of a one-off night must have run."""


@dataclass(frozen=True)
class OneOff:
    """Three one-off runs in real time."""

    day: date
    night: datetime
    bedtime: datetime
    morning: datetime


def one_off_times(plan: Plan, night: str, speed: float, now: datetime) -> OneOff:
    """Return when to fire the next night, its bedtime check and its morning report, at this speed."""
    zone = resolve_zone(plan.timezone)
    day = now.astimezone(zone).date()
    table = timetable(plan, find_night(plan, night), day)
    if table.window.start <= now:
        day += timedelta(days=1)
        table = timetable(plan, find_night(plan, night), day)
    start = table.window.start
    return OneOff(
        day=day,
        night=start,
        bedtime=start + (table.bedtime - start) / speed,
        morning=start + (table.window.hand_over - start) / speed,
    )


def night_parameters(
    plan: Plan, file: Path, night: str, data: str | None, home: Path, speed: float
) -> dict[str, str | float | None]:
    """Return the parameters of the night's flow: names, absolute paths, and the zone that "local" is here.

    Raises NightError where the plan has no such night.
    """
    return {
        "name": find_night(plan, night).name if night else "",
        "plan": None if file == BUILT_IN else str(file.resolve()),  # each machine has its own copy
        "timezone": resolve_zone(plan.timezone).key,
        "data": full_path(data),
        "home": str(home),
        "speed": speed,
    }


def start_command(
    plan_file: Annotated[
        Path | None, typer.Argument(metavar="[PLAN]", help="A plan file; the built-in nights without it.")
    ] = None,
    data: DataOption = None,
    runs: OutOption = Path("runs"),
    night: Annotated[str, typer.Option("--night", help="This night, not the next of the campaign.")] = "",
    speed: Annotated[
        float, typer.Option("--speed", help="Night seconds per second; 1 is a real night.")
    ] = 1.0,
    once: Annotated[
        bool, typer.Option("--once", help="Only the next night: one-off runs, then end.")
    ] = False,
    port: Annotated[int, typer.Option("--port", help="Port of the local Prefect server.")] = DEFAULT_PORT,
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Address the local server listens on; others than loopback need a password."
        ),
    ] = LOOPBACK,
    as_json: AsJson = False,
) -> None:
    """Serve the nights: at 23:00 the night, at 23:45 the bedtime check, at 07:00 the morning report."""
    plan, file = load_plan(plan_file)
    warn_of_utc(plan)
    warn_of_gpus(plan)
    if speed != 1 and not once:
        raise NightError("--speed is for one-off nights: add --once, or leave it out for real nights")
    home = runs.resolve()
    home.mkdir(parents=True, exist_ok=True)
    chosen = night or _next(plan, home)
    parameters = night_parameters(plan, file, night, data, home, speed)
    _be_killed_as_by_ctrl_c()
    with prefect_server(home, port, host) as url:
        os.environ.update(client_environment(url, home))
        request = {"plan": plan.model_dump(mode="json"), "home": str(home), "scheduled": not once}
        server = _serve(home, {**request, "parameters": parameters})
        try:
            if once:
                _fire_once(plan, chosen, speed, url, as_json)
            else:
                _serve_until_stopped(plan, url, server, as_json)
        finally:
            end(server)


def _be_killed_as_by_ctrl_c() -> None:
    """Leave no server behind that fires nights unseen, where this command is killed or its terminal closed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # else: somebody, like nohup, wants it ignored
            signal.signal(number, signal.default_int_handler)


def _next(plan: Plan, home: Path) -> str:
    following = next_of_campaign(plan, home)
    if following is None:
        raise NightError(f"every night of {plan.campaign} was handed over in {home}; name one with --night")
    return following.name


def _serve(home: Path, request: dict[str, object]) -> subprocess.Popen[bytes]:
    file = home / ".prefect" / "serve.json"
    write_atomically(file, json.dumps(request))
    with (home / ".prefect" / "serve.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.serve", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _serve_until_stopped(plan: Plan, url: str, server: subprocess.Popen[bytes], as_json: bool) -> None:
    zone = resolve_zone(plan.timezone).key
    ui = url.removesuffix("/api")
    if as_json:
        print_json({"ui": ui, "campaign": plan.campaign, "timezone": zone, "serving": True})
    err.print(f"Prefect UI: {ui}", highlight=False)
    err.print(
        f"Serving {plan.campaign}: night {plan.starts:%H:%M}, bedtime check {plan.bedtime_check:%H:%M}, "
        f"morning report {plan.hands_over:%H:%M} ({zone}). Leave this running; Ctrl-C ends it, not a night.",
        highlight=False,
        soft_wrap=True,
    )
    try:
        server.wait()
    except KeyboardInterrupt:
        return
    raise NightError("serving ended by itself; its last words are in .prefect/serve.log under the runs")


def _fire_once(plan: Plan, night: str, speed: float, url: str, as_json: bool) -> None:
    # Imported here: only serving needs Prefect in this process, and it takes a second to load.
    from flows.serve import ONCE, schedule_once, state_of, wait_for_deployment

    clock = SystemClock()
    times = one_off_times(plan, night, speed, clock.now())
    of_night, at_bedtime, in_the_morning = ONCE
    wait_for_deployment(in_the_morning, REGISTER_WITHIN_S)
    flow_runs = {
        "night": schedule_once(of_night, times.night, {"name": night, "day": times.day.isoformat()}),
        "bedtime": schedule_once(at_bedtime, times.bedtime, {}),
        "morning": schedule_once(in_the_morning, times.morning, {}),
    }
    zone = resolve_zone(plan.timezone)
    err.print(f"Prefect UI: {url.removesuffix('/api')}", highlight=False)
    for name, instant in (("night", times.night), ("bedtime", times.bedtime), ("morning", times.morning)):
        err.print(f"  {name:<8} fires at {instant.astimezone(zone):%H:%M:%S}", highlight=False)
    states = {}
    limit = times.morning + timedelta(seconds=MORNING_WITHIN_S)
    for name, flow_run_id in flow_runs.items():
        while not state_of(flow_run_id)[1] and clock.now() < limit:
            clock.wait_until(clock.now() + timedelta(seconds=1))
        states[name] = state_of(flow_run_id)[0]
        if not as_json:
            out.print(f"{name}: {states[name]}", highlight=False)
    if as_json:
        print_json({"night": night, "date": times.day.isoformat(), "flow_runs": flow_runs, "states": states})
