"""When a night may happen: local wall times of a date, turned into UTC before anything is subtracted.

Same-zone subtraction in Python ignores clock changes: 28-29 March 2026 in Europe/Berlin is 7 h long
and 24-25 October 2026 is 9 h, though the wall clocks say 8 h for both.
"""

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nightshift.states import NightError


@dataclass(frozen=True)
class Window:
    """One night, in UTC."""

    start: datetime
    hand_over: datetime

    @property
    def hours(self) -> float:
        """Real hours between start and hand-over: 7, 8 or 9 for an eight-hour night."""
        return (self.hand_over - self.start).total_seconds() / 3600


def machine_zone_name() -> str:
    """Return the name of this machine's time zone, or "UTC" where it names none."""
    named = os.environ.get("TZ", "").lstrip(":")
    if named:
        return named
    target = str(Path("/etc/localtime").resolve())
    return target.split("zoneinfo/", 1)[1] if "zoneinfo/" in target else "UTC"


def resolve_zone(name: str) -> ZoneInfo:
    """Return the zone of this name; "local" is the machine's.

    Raises NightError where no such zone exists.
    """
    wanted = machine_zone_name() if name == "local" else name
    try:
        return ZoneInfo(wanted)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise NightError(
            f"timezone {wanted!r} is not known; use a name like 'Europe/Berlin', or 'local'"
        ) from error


def instant_of(day: date, wall: time, zone: ZoneInfo) -> datetime:
    """Return the UTC instant of a wall time; of an ambiguous one the first, of a skipped one what follows."""
    return datetime.combine(day, wall, zone).astimezone(UTC)


def on_or_after(start: time, wall: time, day: date) -> date:
    """Return the date on which `wall` falls in the night that starts on `day` at `start`."""
    return day if wall >= start else day + timedelta(days=1)


def night_window(day: date, starts: time, hands_over: time, zone: ZoneInfo) -> Window:
    """Return the window of the night that begins on `day`."""
    last_day = on_or_after(starts, hands_over, day) if hands_over != starts else day + timedelta(days=1)
    return Window(instant_of(day, starts, zone), instant_of(last_day, hands_over, zone))


def night_under_way_or_next(now: datetime, starts: time, hands_over: time, zone: ZoneInfo) -> date:
    """Return the date of the night that contains `now`, else of the next one."""
    today = now.astimezone(zone).date()
    for day in (today - timedelta(days=1), today):
        window = night_window(day, starts, hands_over, zone)
        if window.start <= now < window.hand_over:
            return day
    start_today = instant_of(today, starts, zone)
    return today if now < start_today else today + timedelta(days=1)
