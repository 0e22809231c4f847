"""Reading a plan file, and saying at which line and key it is wrong."""

import re
import tomllib
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from nightshift.states import Metric, NightError
from schedules.plan import Night, Plan
from schedules.timetable import timetable

HEADER = re.compile(r"\s*(\[\[?)\s*([\w.-]+)\s*\]\]?")
KEY = re.compile(r"\s*([\w-]+)\s*=")
BUILT_IN = Path(__file__).with_name("nights.toml")


class PlanError(NightError):
    """A plan that cannot be run: file, line, key, and what to do."""


Location = tuple[str | int, ...]


def key_lines(text: str) -> dict[Location, int]:
    """Return the line number (from 1) of every table and key of a TOML text, by path."""
    lines: dict[Location, int] = {}
    counts: dict[Location, int] = {}
    prefix: Location = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            prefix = _table_path(header[2].split("."), header[1] == "[[", counts)
            lines[prefix] = number
        elif key := KEY.match(line):
            lines.setdefault((*prefix, key[1]), number)
    return lines


def _table_path(names: list[str], is_array: bool, counts: dict[Location, int]) -> Location:
    path: Location = ()
    for position, name in enumerate(names):
        path = (*path, name)
        last = position == len(names) - 1
        if last and is_array:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _line_of(location: Location, lines: dict[Location, int]) -> int:
    for end in range(len(location), -1, -1):
        if location[:end] in lines:
            return lines[location[:end]]
    return 1


def _spoken(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "the file"


def _first_error(error: ValidationError) -> tuple[Location, str]:
    first = error.errors()[0]
    location: Location = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        return location, "unknown key; see the plan's keys in README.md"
    if location and location[-1] == "metric":
        return location, f"unknown metric {first['input']!r}; known: {', '.join(Metric)}"
    return location, str(first["msg"]).removeprefix("Value error, ")


def read_plan(path: Path) -> Plan:
    """Return the plan in this TOML file, checked whole.

    Raises PlanError with file, line and key for what is not TOML, unknown, missing, or does not fit.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: cannot be read ({error}); give the path of a plan file") from error
    try:
        plan = Plan.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{path}: not TOML: {error}") from error
    except ValidationError as error:
        location, what = _first_error(error)
        line = _line_of(location, key_lines(text))
        raise PlanError(f"{path}:{line}: {_spoken(location)}: {what}") from error
    _refuse_what_does_not_fit(plan, path, text)
    return plan


def _refuse_what_does_not_fit(plan: Plan, path: Path, text: str) -> None:
    lines = key_lines(text)
    try:
        timetable(plan, plan.nights[0], date(2026, 1, 15))
    except NightError as error:
        raise PlanError(f"{path}:{_line_of(('timezone',), lines)}: {error}") from error
    for index, night in enumerate(plan.nights):
        misfit = _misfit(plan, night)
        if misfit:
            location: Location = ("night", index, "stage", *misfit[0])
            where = _spoken(location)
            raise PlanError(f"{path}:{_line_of(location, lines)}: {where} ({night.name}): {misfit[1]}")


def _misfit(plan: Plan, night: Night) -> tuple[Location, str] | None:
    """Return where and how the stages fail to fill the window from start to hand-over, or None."""
    expected = plan.starts
    for index, stage in enumerate(night.stages):
        if stage.start != expected:
            return (index, "start"), (
                f"starts at {stage.start:%H:%M}, but what comes before ends at {expected:%H:%M}"
            )
        expected = stage.end
    last = len(night.stages) - 1
    if expected != plan.hands_over:
        return (last, "end"), f"ends at {expected:%H:%M}, but hand-over is at {plan.hands_over:%H:%M}"
    slots = timetable(plan, night, date(2026, 1, 15)).slots
    for index, slot in enumerate(slots):
        spare_min = slot.planned_minutes - slot.stage.minimum_min
        if index == last and spare_min < plan.wind_down_min:
            return (index, "end"), (
                f"{slot.planned_minutes:g} min hold neither its minimum of {slot.stage.minimum_min:g} min "
                f"nor, behind it, the wind-down of {plan.wind_down_min:g} min"
            )
        if spare_min < 0:
            return (index, "minimum_min"), (
                f"needs at least {slot.stage.minimum_min:g} min, but has {slot.planned_minutes:g} min"
            )
    total = sum(slot.planned_minutes for slot in slots)
    window = timetable(plan, night, date(2026, 1, 15)).window
    if round(total) != round(window.hours * 60):
        return (0, "start"), f"the stages go round the clock: {total:g} min in {window.hours:g} h"
    return None


def find_night(plan: Plan, name: str) -> Night:
    """Return the night of this name.

    Raises PlanError, naming the nights there are.
    """
    for night in plan.nights:
        if night.name == name:
            return night
    raise PlanError(f"no night {name!r} in the plan; there are: {', '.join(n.name for n in plan.nights)}")
