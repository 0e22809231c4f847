from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.states import NightError
from schedules.budget import Budget, ProcessCosts, fastest_speed, refuse_too_fast
from schedules.plan_source import BUILT_IN, read_plan
from schedules.timetable import timetable

PLAN = read_plan(BUILT_IN).model_copy(update={"timezone": "Europe/Berlin"})
TABLES = [timetable(PLAN, night, date(2026, 11, 24)) for night in PLAN.nights]
FUSION = TABLES[0]


def budget(table=FUSION, speed=1.0, hand_over=None):
    return Budget(table, hand_over or table.window.hand_over, speed, ProcessCosts())


def test_on_time_each_stage_ends_as_planned_and_the_last_before_the_wind_down():
    b = budget()
    train, evaluate = FUSION.slots[1], FUSION.slots[2]
    assert b.deadline(1, train.start) == train.end
    assert b.deadline(2, evaluate.start) == FUSION.window.hand_over - timedelta(minutes=20)


def test_a_slow_set_up_is_paid_for_by_the_elastic_stage_and_never_by_evaluation():
    b = budget()
    late = FUSION.window.start + timedelta(hours=3)
    assert b.deadline(0, FUSION.window.start) > FUSION.slots[0].end
    assert b.deadline(1, late) == FUSION.slots[1].end
    assert b.why_not(2, FUSION.slots[2].start) is None


def test_a_stage_whose_minimum_no_longer_fits_is_not_started():
    b = budget()
    assert b.why_not(1, FUSION.slots[1].end - timedelta(minutes=59)) is not None
    assert b.why_not(1, FUSION.slots[1].end - timedelta(minutes=61)) is None


def test_a_hand_over_moved_forward_moves_every_deadline():
    early = FUSION.window.hand_over - timedelta(hours=4)
    b = budget(hand_over=early)
    assert (
        b.deadline(1, FUSION.slots[1].start)
        == early - timedelta(minutes=20) - timedelta(minutes=10) - b.grace
    )


@given(
    st.sampled_from(TABLES),
    st.floats(0, 9 * 3600),
    st.sampled_from([1.0, 60.0, 200.0]),
)
def test_no_deadline_lies_behind_the_wind_down_and_later_minima_always_fit(table, late_s, speed):
    b = budget(table, speed)
    for index in range(len(table.slots)):
        started = table.window.start + timedelta(seconds=late_s)
        deadline = b.deadline(index, started)
        later = sum((b.minimum(s) for s in table.slots[index + 1 :]), timedelta())
        assert deadline + later + b.reserve <= table.window.hand_over
        if b.why_not(index, started) is None:
            assert deadline - started >= b.minimum(table.slots[index])


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.night.name)
def test_a_speed_that_cannot_fit_is_refused_and_the_named_one_fits(table):
    fastest = int(fastest_speed(table, ProcessCosts()))
    assert fastest >= 200
    refuse_too_fast(table, ProcessCosts(), fastest)
    with pytest.raises(NightError, match=f"--speed {fastest}"):
        refuse_too_fast(table, ProcessCosts(), fastest * 2)


def test_a_trainer_that_uses_its_whole_grace_does_not_starve_the_next_stage():
    b = budget(speed=200.0)
    over = b.deadline(1, FUSION.slots[1].start) + b.grace
    assert b.why_not(2, over) is None
