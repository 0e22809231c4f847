"""Nights under a virtual clock: the real budget and supervision, every fault, the 7 h and 9 h nights."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from nightshift.states import Ending, NightError
from schedules.plan_source import BUILT_IN, read_plan
from tasks.fault_model import INF, PROFILES, FaultModel, Script, read_models
from tasks.pace import Pace
from tasks.simulate import night_budget, planned, scripts, simulate_profile
from tasks.simulated_baselines import cron, retries, time_limit
from tasks.simulated_machine import Machine
from tasks.simulated_night import SimulatedNight, bound

PLAN = read_plan(BUILT_IN).model_copy(update={"timezone": "Europe/Berlin"})
CALM = Script(set_up_s=900.0, evaluate_s=1500.0, judge_s=180.0)
HOUR = 3600.0


def budget(day=date(2026, 11, 25)):
    return night_budget(PLAN, PLAN.nights[0], day)


def played(script, day=date(2026, 11, 25)):
    return SimulatedNight(budget(day), script).run()


def share(script):
    possible, most = bound(budget(), script)
    assert possible
    return played(script).useful_s / most


def test_a_calm_night_is_on_time_and_loses_less_than_a_hundredth():
    result = played(CALM)
    assert result.late_s == 0
    assert result.endings["train"] is Ending.STOPPED_AT_DEADLINE
    assert result.restarts == 0
    assert share(CALM) > 0.99


@pytest.mark.parametrize(
    ("fault", "restarts"),
    [
        ({"hang_s": 3 * HOUR}, 1),
        ({"nan_work": 2 * HOUR}, 1),
        ({"oom_work": 2 * HOUR}, 1),
        ({"down": ((2 * HOUR, 2 * HOUR + 300),)}, 1),
        ({"full": ((3 * HOUR, 3.5 * HOUR),)}, 0),
        ({"slow": (2 * HOUR, 0.5)}, 0),
        ({"watch_killed_s": 2 * HOUR}, 0),
        ({"asleep": ((2 * HOUR, 3 * HOUR),)}, 0),
    ],
)
def test_each_fault_alone_costs_little_and_never_the_hand_over(fault, restarts):
    script = replace(CALM, **fault)
    result = played(script)
    assert result.late_s == 0
    assert result.restarts == restarts
    assert share(script) > 0.97


def test_a_suspended_hour_does_not_move_the_hand_over():
    awake, slept = played(CALM), played(replace(CALM, asleep=((2 * HOUR, 3 * HOUR),)))
    assert slept.handed_over_s == pytest.approx(awake.handed_over_s, abs=1)
    assert awake.useful_s - slept.useful_s == pytest.approx(HOUR, abs=60)


def test_code_that_is_broken_in_the_middle_is_given_up_with_what_was_saved():
    result = played(replace(CALM, code_error_work=2 * HOUR))
    assert result.endings["train"] is Ending.CRASHED
    assert 2 * HOUR - 330 < result.useful_s <= 2 * HOUR
    assert result.late_s == 0


def test_a_gpu_that_is_gone_leaves_the_last_checkpoint():
    result = played(replace(CALM, gpu_stop_s=4 * HOUR))
    assert result.endings["train"] is Ending.CRASHED
    assert result.useful_s > 3 * HOUR


def test_a_session_that_is_gone_hands_nothing_over_and_was_not_possible():
    script = replace(CALM, down=((3 * HOUR, INF),))
    assert bound(budget(), script)[0] is False
    assert played(script).handed_over_s == INF


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 28), 7), (date(2026, 10, 24), 9)])
def test_nights_of_seven_and_nine_hours_hand_over_in_time(day, hours):
    night = budget(day)
    start = night.table.window.start
    assert (night.hand_over - start).total_seconds() == hours * HOUR
    for script in scripts(PROFILES["desktop"], night, 20, seed=3):
        possible, most = bound(night, script)
        result = SimulatedNight(night, script).run()
        assert not possible or (result.late_s == 0 and result.useful_s > 0.8 * most)


def test_the_document_is_the_same_for_the_same_seed_and_misses_nothing():
    first = simulate_profile(PROFILES["colab"], budget(), 25, seed=5)
    assert first == simulate_profile(PROFILES["colab"], budget(), 25, seed=5)
    assert first["missed"] == 0
    assert first["p99_lateness_s"] == 0
    assert first["useful_share_of_bound"] > 0.97
    assert 0 < first["possible"] < 25
    assert set(first["baselines"]) == {"cron", "retries", "time_limit"}


def test_without_hang_detection_a_hung_night_would_be_lost(monkeypatch):
    hung = replace(CALM, hang_s=1 * HOUR)
    whole = played(hung).useful_s
    monkeypatch.setattr(Pace, "limit_s", lambda self: 1e6)
    assert played(hung).useful_s < whole / 3


def test_baselines_do_what_they_are_said_to():
    plan = planned(budget())
    assert cron(CALM, plan).useful_s == pytest.approx(plan.work)
    assert cron(replace(CALM, hang_s=2 * HOUR), plan).handed_over_s == INF
    assert retries(replace(CALM, hang_s=2 * HOUR), plan).handed_over_s == INF
    assert time_limit(replace(CALM, hang_s=2 * HOUR), plan).useful_s > HOUR
    slow = replace(CALM, slow=(2 * HOUR, 0.5))
    assert cron(slow, plan).handed_over_s > 9 * HOUR
    assert time_limit(slow, plan).handed_over_s < 7 * HOUR
    broken = replace(CALM, code_error_work=HOUR)
    assert cron(broken, plan).handed_over_s == retries(broken, plan).handed_over_s == INF
    assert 0 < time_limit(broken, plan).useful_s <= HOUR


def test_the_bound_knows_when_the_machine_is_there():
    script = replace(CALM, slow=(1000.0, 0.5), down=((2000.0, 3000.0),), asleep=((4000.0, 4500.0),))
    machine = Machine(script)
    assert machine.work_between(0, 5000) == pytest.approx(1000 + 500 + 500 + 250)
    assert machine.when_done(0, 1500) == pytest.approx(2000)
    assert machine.when_done(0, 1501) == pytest.approx(3002)
    assert Machine(replace(script, gpu_stop_s=1500.0)).work_between(0, 5000) == pytest.approx(1250)


def test_faults_are_as_frequent_as_the_model_says():
    model = FaultModel(hang=0.5, code_error_first=0.0, code_error_later=0.0)
    drawn = scripts(model, budget(), 2000, seed=1)
    hangs = np.mean([script.hang_s < INF for script in drawn])
    assert 0.46 < hangs < 0.54
    assert not any(script.code_error_work < INF for script in drawn)


def test_a_fault_file_changes_a_profile_and_a_wrong_one_is_named(tmp_path):
    file = tmp_path / "faults.toml"
    file.write_text("[desktop]\nhang = 0.5\n")
    assert read_models(file)["desktop"].hang == 0.5
    assert read_models(file)["desktop"].gpu_stop == PROFILES["desktop"].gpu_stop
    file.write_text("[desktop]\nhangs = 0.5\n")
    with pytest.raises(NightError, match="hangs"):
        read_models(file)
    with pytest.raises(NightError, match="cannot be read"):
        read_models(tmp_path / "none.toml")


def test_the_command_prints_stable_json():
    result = CliRunner().invoke(app, ["simulate", "--nights", "3", "--seed", "2", "--json"])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert (document["seed"], document["nights"]) == (2, 3)
    keys = {"profile", "possible", "missed", "p99_lateness_s", "useful_share_of_bound", "baselines"}
    assert all(keys <= set(profile) for profile in document["profiles"])
