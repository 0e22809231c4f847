"""A night as flow parameters: plain texts and numbers, turned into a NightRequest where it is used."""

import json
from datetime import date
from pathlib import Path

from nightshift.rundir import RunDir
from schedules.plan import Plan
from schedules.plan_source import BUILT_IN, find_night, read_plan
from schedules.window import resolve_zone
from tasks.launch import NightRequest, check_night_settings


def load_plan(path: Path | None, timezone: str | None = None) -> tuple[Plan, Path]:
    """Return the checked plan and its file; None is the built-in one.

    `timezone`: what "local" means, where it is read on another machine than the one it was deployed from.
    Raises NightError for a plan that cannot be run.
    """
    file = path or BUILT_IN
    plan = read_plan(file)
    check_night_settings(plan, str(file))
    if timezone and plan.timezone == "local":
        plan = plan.model_copy(update={"timezone": resolve_zone(timezone).key})
    return plan, file


def request_for(
    night: str,
    plan: str | None,
    data: str | None,
    home: str,
    speed: float,
    day: str | None,
    timezone: str | None = None,
) -> NightRequest:
    """Return the request that these flow parameters mean; `timezone` as in `load_plan`.

    Raises NightError where the plan or the night is not there.
    """
    loaded, file = load_plan(Path(plan) if plan else None, timezone)
    return NightRequest(
        plan=loaded,
        plan_dir=file.resolve().parent,
        night=find_night(loaded, night),
        data=data,
        home=Path(home),
        speed=speed,
        day=date.fromisoformat(day) if day else None,
    )


def run_of_flow_run(home: Path, flow_run_id: str) -> RunDir | None:
    """Return the run directory that this flow run works on, or None."""
    for path in home.glob("*/*/flow.json"):
        try:
            if json.loads(path.read_text()).get("flow_run_id") == flow_run_id:
                return RunDir(path.parent)
        except (OSError, ValueError):
            continue
    return None
