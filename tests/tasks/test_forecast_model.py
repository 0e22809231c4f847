"""The forecast: what it learns from, what it says of trouble, and whether its ranges hold in simulation."""

from dataclasses import replace

import pytest

from flows.request import load_plan
from nightshift.events import Event
from tasks.fault_model import PROFILES
from tasks.forecast_model import (
    ACT,
    LOOK,
    SLEEP,
    NightSeen,
    Signs,
    StageSeen,
    forecast_times,
    trouble,
    word_for,
)
from tasks.pace import Pace
from tasks.simulate import night_budget, scripts
from tasks.simulated_forecast import score_forecasts
from tasks.supervision import Standing

HOUR = 3600.0
SET_UP = StageSeen("setup", False, False, HOUR / 2, 0.0, started=True, ended=True, spent_s=HOUR / 2)
TRAIN = StageSeen("train", True, False, 6 * HOUR, 5.75 * HOUR, started=True, spent_s=HOUR / 4)
EVALUATE = StageSeen("evaluate", False, True, 1.5 * HOUR, 7 * HOUR)
NIGHT = NightSeen((SET_UP, TRAIN, EVALUATE), judge_s=180, hand_over_cost_s=5, deadline_s=7.25 * HOUR)


def test_a_training_that_does_not_tell_its_work_ends_at_its_deadline():
    times = forecast_times(NIGHT)
    assert set(times.stages) == {"train", "evaluate"}
    assert times.stages["train"].low == times.stages["train"].high == 5.75 * HOUR
    assert times.work is None
    assert times.stages["train"].high < times.hand_over.low < times.hand_over.high <= 7.25 * HOUR


def test_a_training_that_tells_its_work_ends_with_it_and_its_share_is_foretold():
    fast = replace(NIGHT, stages=(SET_UP, replace(TRAIN, done=0.1), EVALUATE))
    times = forecast_times(fast)
    assert times.stages["train"].middle == pytest.approx(9 * HOUR / 4, rel=0.05)
    assert times.work.middle == pytest.approx(1.0)
    slow = replace(NIGHT, stages=(SET_UP, replace(TRAIN, done=0.02), EVALUATE))
    share = forecast_times(slow).work
    assert share.low < 0.02 + 5.75 / 0.25 * 0.02 < share.high
    assert share.high < 0.6


def test_earlier_nights_move_the_forecast_and_narrow_it():
    fresh = forecast_times(NIGHT).hand_over
    known = replace(EVALUATE, took_s=tuple(HOUR + 30 * number for number in range(6)))
    learnt = forecast_times(replace(NIGHT, stages=(SET_UP, TRAIN, known))).hand_over
    assert learnt.middle > fresh.middle + 0.3 * HOUR
    usual = replace(EVALUATE, took_s=tuple(1500.0 + 10 * number for number in range(6)))
    same = forecast_times(replace(NIGHT, stages=(SET_UP, TRAIN, usual))).hand_over
    assert same.high - same.low < 0.8 * (fresh.high - fresh.low)


def test_a_stage_that_already_took_longer_than_any_is_given_more_time():
    late = replace(EVALUATE, started=True, spent_s=10 * HOUR, deadline_s=20 * HOUR)
    done = replace(TRAIN, ended=True)
    times = forecast_times(replace(NIGHT, stages=(SET_UP, done, late), deadline_s=30 * HOUR))
    assert times.stages["evaluate"].middle > HOUR


@pytest.mark.parametrize(
    ("signs", "word"),
    [
        (Signs(), SLEEP),
        (Signs(loss="flat"), LOOK),
        (Signs(silent="x"), LOOK),
        (Signs(restarts="x", dead="gone"), ACT),
        (Signs(broken="x"), ACT),
        (Signs(lost_gpu="x"), ACT),
        (Signs(disk="x"), ACT),
    ],
)
def test_the_gravest_sign_gives_the_word(signs, word):
    assert word_for(signs)[0] == word


def test_trouble_is_a_restart_without_progress_a_long_silence_or_a_slow_down(utc_start):
    pace = Pace()
    pace.hear(Event("started", utc_start), 0.0, 0.0)
    pace.hear(Event("phase", utc_start, name="train"), 1.0, 1.0)
    assert trouble(Standing(), pace, 10.0) == Signs()
    assert trouble(Standing(), pace, 1.0 + 0.6 * pace.limit_s()).silent
    assert not trouble(
        Standing(restarts=1, without_progress=1, saved_step=9, saved_at_fault=5), pace, 10.0
    ).restarts
    assert trouble(
        Standing(restarts=1, without_progress=1, saved_step=5, saved_at_fault=5), pace, 10.0
    ).restarts


@pytest.fixture(scope="module")
def scores():
    plan, _ = load_plan(None)
    budget = night_budget(plan, plan.nights[0])
    return score_forecasts(budget, scripts(PROFILES["desktop"], budget, 250, 7))


def test_the_range_holds_what_it_promises_and_doomed_nights_are_called(scores):
    assert 0.72 <= scores["coverage_80"] <= 0.88  # 250 nights: two standard errors around 80 %
    assert scores["doomed"] >= 5
    assert scores["recall_doomed"] >= 0.95
    assert scores["false_alarms"] <= 0.05


def test_naive_extrapolation_is_worse(scores):
    assert abs(scores["naive"]["coverage_80"] - 0.8) > 0.2
    assert scores["naive"]["recall_doomed"] < 0.5
