"""A year of nights by Prefect's own schedule: 23:00 on every local evening, none twice, none lost, windows right."""

import asyncio
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from prefect.server.schemas.schedules import CronSchedule

from flows.request import load_plan
from flows.serve import cron_at
from schedules.timetable import timetable
from schedules.window import night_under_way_or_next

NIGHTS = 365


def fired(wall, zone, first, count=NIGHTS):
    """Return when Prefect's server would create runs of this schedule, UTC."""
    ours = cron_at(wall, zone)
    theirs = CronSchedule(cron=ours.cron, timezone=ours.timezone)
    start = datetime(first.year, first.month, first.day, 12, tzinfo=ZoneInfo(zone))
    return asyncio.run(theirs.get_dates(n=count, start=start))


@pytest.mark.parametrize(
    ("zone", "hours"),
    [
        ("Europe/Berlin", {7.0: 1, 8.0: 363, 9.0: 1}),
        ("America/New_York", {7.0: 1, 8.0: 363, 9.0: 1}),
        ("Asia/Shanghai", {8.0: 365}),
    ],
)
def test_every_evening_of_a_year_has_its_night_and_its_morning(zone, hours):
    built_in, _ = load_plan(None)
    plan = built_in.model_copy(update={"timezone": zone})
    local = ZoneInfo(zone)
    first = datetime(2026, 11, 26, tzinfo=local)
    starts = fired(plan.starts, zone, first)
    days = [at.astimezone(local).date() for at in starts]
    assert days == [(first + timedelta(days=n)).date() for n in range(NIGHTS)]
    assert {at.astimezone(local).strftime("%H:%M") for at in starts} == {"23:00"}
    mornings = fired(plan.hands_over, zone, first)
    bedtimes = fired(plan.bedtime_check, zone, first)
    counted: dict[float, int] = {}
    for day, start, bedtime, morning in zip(days, starts, bedtimes, mornings, strict=True):
        table = timetable(plan, plan.nights[0], day)
        assert (table.window.start, table.bedtime, table.window.hand_over) == (start, bedtime, morning)
        assert night_under_way_or_next(start, plan.starts, plan.hands_over, local) == day
        counted[table.window.hours] = counted.get(table.window.hours, 0) + 1
    assert counted == hours
