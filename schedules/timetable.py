"""A night's stages on one date, in UTC."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from schedules.plan import Night, Plan, Stage
from schedules.window import Window, instant_of, night_window, on_or_after, resolve_zone


@dataclass(frozen=True)
class Slot:
    """A stage and its planned instants (UTC)."""

    stage: Stage
    start: datetime
    end: datetime

    @property
    def planned_minutes(self) -> float:
        """Planned length in real minutes, clock changes counted."""
        return (self.end - self.start).total_seconds() / 60

    @property
    def minimum(self) -> timedelta:
        """Least time with which the stage is worth starting."""
        return timedelta(minutes=self.stage.minimum_min)


@dataclass(frozen=True)
class Timetable:
    """One night on one date."""

    night: Night
    day: date
    zone: ZoneInfo
    window: Window
    bedtime: datetime
    wind_down: timedelta
    slots: tuple[Slot, ...]


def timetable(plan: Plan, night: Night, day: date) -> Timetable:
    """Return the night that begins on `day`, each wall time turned into UTC by itself.

    Raises NightError where the time zone is not known.
    """
    zone = resolve_zone(plan.timezone)
    slots = []
    for stage in night.stages:
        start_day = on_or_after(plan.starts, stage.start, day)
        end_day = on_or_after(plan.starts, stage.end, day)
        if stage.end == plan.starts:
            end_day = day + timedelta(days=1)
        slots.append(
            Slot(stage, instant_of(start_day, stage.start, zone), instant_of(end_day, stage.end, zone))
        )
    bedtime_day = on_or_after(plan.starts, plan.bedtime_check, day)
    return Timetable(
        night=night,
        day=day,
        zone=zone,
        window=night_window(day, plan.starts, plan.hands_over, zone),
        bedtime=instant_of(bedtime_day, plan.bedtime_check, zone),
        wind_down=timedelta(minutes=plan.wind_down_min),
        slots=tuple(slots),
    )
