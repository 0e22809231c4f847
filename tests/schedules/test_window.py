from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.states import NightError
from schedules.plan_source import BUILT_IN, read_plan
from schedules.timetable import timetable
from schedules.window import night_under_way_or_next, night_window, resolve_zone

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Asia/Shanghai",
    "Australia/Lord_Howe",
    "UTC",
    "America/St_Johns",
]
PLAN = read_plan(BUILT_IN)
NIGHTS = ["fusion", "ltr", "candidates"]


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 28), 7), (date(2026, 10, 24), 9), (date(2026, 7, 1), 8)]
)
def test_clock_changes_make_nights_of_seven_and_nine_hours(day, hours):
    assert night_window(day, time(23), time(7), BERLIN).hours == hours


@given(st.dates(date(2020, 1, 1), date(2035, 12, 31)), st.sampled_from(ZONES), st.sampled_from(NIGHTS))
def test_stages_tile_every_window_without_gap_or_overlap(day, zone, name):
    night = next(n for n in PLAN.nights if n.name == name)
    table = timetable(PLAN.model_copy(update={"timezone": zone}), night, day)
    slots = table.slots
    assert slots[0].start == table.window.start
    assert slots[-1].end == table.window.hand_over
    for before, after in pairwise(slots):
        assert before.end == after.start
    assert all(slot.end > slot.start for slot in slots)
    total = sum((slot.end - slot.start for slot in slots), timedelta())
    assert total == table.window.hand_over - table.window.start
    assert 6.5 <= table.window.hours <= 9.5
    local = table.window.hand_over.astimezone(ZoneInfo(zone))
    assert (local.hour, local.minute) == (7, 0)
    assert table.window.start < table.bedtime < table.window.hand_over


@given(st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)), st.sampled_from(ZONES))
def test_the_night_under_way_contains_now_else_the_next_one_lies_ahead(moment, zone_name):
    now, zone = moment.replace(tzinfo=UTC), ZoneInfo(zone_name)
    day = night_under_way_or_next(now, time(23), time(7), zone)
    window = night_window(day, time(23), time(7), zone)
    assert now < window.hand_over
    assert window.start - now <= timedelta(hours=25)


def test_a_stage_over_the_skipped_hour_loses_it_and_the_elastic_one_pays():
    table = timetable(
        PLAN.model_copy(update={"timezone": "Europe/Berlin"}), PLAN.nights[1], date(2026, 3, 28)
    )
    assert [slot.planned_minutes for slot in table.slots] == [180, 240]


def test_an_unknown_zone_is_named():
    with pytest.raises(NightError, match="Mars/Olympus"):
        resolve_zone("Mars/Olympus")


def test_local_is_the_machines_zone(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    assert resolve_zone("local").key == "Asia/Shanghai"
