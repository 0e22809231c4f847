"""The nightwatch with real processes: start, deadline, crash, kill, stop, silence, and a fourth night from TOML."""

import os
import signal
import subprocess
import sys

import pytest
from open_night import OpenNight, ledger_kinds
from small_night import PLAN, counting_plan, make_plan, shell_plan

from nightshift.checkpoint import newest_whole, read_state
from nightshift.events import read_events
from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.handoff import read_handoff
from tasks.night_line import NightwatchGone, ask
from tasks.night_status import read_status
from verdict.ledger import read_ledger
from verdict.seal import read_seal

pytestmark = pytest.mark.slow


def test_twelve_lines_of_shell_meet_the_contract(opened, tmp_path):
    night = opened(shell_plan(tmp_path))
    night.follow_all()
    status = read_status(night.run.status)
    assert status.stage("work").ending == "FINISHED"
    assert status.stage("work").values == {"loss": 0.6}
    handoff = read_handoff(night.run)
    assert handoff.on_time
    assert not handoff.usable
    assert night.run.report_html.exists()
    assert ledger_kinds(night.run)[0] == "night-opened"
    assert ledger_kinds(night.run)[-1] == "handed-over"


def test_a_trainer_is_stopped_at_its_deadline_with_a_last_checkpoint(opened, tmp_path):
    night = opened(counting_plan(tmp_path, 10_000))
    night.follow_all()
    assert night.exit_record()["ending"] == "STOPPED_AT_DEADLINE"
    status = read_status(night.run.status)
    last = newest_whole(night.run.stage("work").checkpoints)
    assert read_state(last)["step"] == status.stage("work").step
    assert read_handoff(night.run).on_time


def test_a_killed_trainer_resumes_from_its_checkpoint(opened, tmp_path):
    night = opened(counting_plan(tmp_path, 60))
    follower = night.follow_aside()
    night.wait_for_events("checkpoint", 2)
    entries = read_ledger(night.run.ledger, read_seal(night.run).nonce)
    pid = next(int(e.facts["pid"]) for e in entries if e.kind == "trainer-started")
    os.kill(pid, signal.SIGKILL)
    follower.join(40)
    record = night.exit_record()
    assert record["ending"] == "FINISHED"
    assert [a["exit_code"] for a in record["attempts"]] == [-9, 0]
    events, _ = read_events(night.run.stage("work").events)
    again = [i for i, event in enumerate(events) if event.kind == "started"][1]
    before = max(e.step for e in events[:again] if e.kind == "progress")
    resumed = next(e.step for e in events[again:] if e.kind == "progress")
    assert 10 < resumed <= before + 1, "the second attempt goes on from the second checkpoint"
    assert max(e.step for e in events) == 60
    assert read_status(night.run.status).stage("work").restarts == 1


def test_a_trainer_that_only_crashes_is_given_up_and_the_night_still_hands_over(opened, tmp_path):
    night = opened(make_plan(tmp_path, "sh", "-c", "exit 3"))
    night.follow_all()
    record = night.exit_record()
    assert record["ending"] == "CRASHED"
    assert len(record["attempts"]) == 4
    assert read_handoff(night.run).word == "PAUSE_AND_FIX"


def test_a_command_that_does_not_exist_is_named(opened, tmp_path):
    night = opened(make_plan(tmp_path, "no-such-program"))
    night.follow_all()
    assert "no-such-program" in night.exit_record()["notes"][0]


def test_the_nightwatch_goes_on_alone_when_nobody_follows(opened, tmp_path):
    night = opened(shell_plan(tmp_path))
    night.wait_over()
    assert read_handoff(night.run).on_time
    assert "alone" in ledger_kinds(night.run)


def test_stop_saves_judges_and_hands_over(opened, tmp_path):
    night = opened(counting_plan(tmp_path, 10_000))
    follower = night.follow_aside()
    night.wait_for_events("checkpoint", 1)
    ask(night.run, {"ask": "stop"})
    follower.join(30)
    assert night.exit_record()["ending"] == "CANCELLED"
    assert newest_whole(night.run.stage("work").checkpoints) is not None
    assert read_handoff(night.run) is not None


def test_a_hand_over_moved_forward_reaches_the_running_trainer(opened, tmp_path):
    night = opened(counting_plan(tmp_path, 10_000), speed=30.0)
    follower = night.follow_aside()
    night.wait_for_events("checkpoint", 1)
    hand_over = read_seal(night.run).window.hand_over.replace(minute=13)
    ask(night.run, {"ask": "stop", "at": hand_over.isoformat()})
    follower.join(40)
    handoff = read_handoff(night.run)
    assert handoff.deadline == hand_over
    assert handoff.on_time
    assert night.exit_record()["ending"] == "STOPPED_AT_DEADLINE"


def test_two_nights_never_overlap(opened, tmp_path):
    plan = counting_plan(tmp_path, 10_000)
    first = opened(plan)
    with pytest.raises(NightError, match="another night is running"):
        OpenNight(tmp_path, plan)
    ask(first.run, {"ask": "stop"})
    first.wait_over()


def test_nobody_answers_where_no_night_is(tmp_path):
    with pytest.raises(NightwatchGone, match="no nightwatch"):
        ask(RunDir(tmp_path), {"ask": "status"})


def test_a_fourth_night_needs_toml_alone(opened, tmp_path):
    (tmp_path / "trainer.sh").write_text((shell_plan(tmp_path).parent / "trainer.sh").read_text())
    block = PLAN.split("[[night]]")[1].replace('"small"', '"fourth"').replace("Small night", "A fourth night")
    text = PLAN + "\n[[night]]" + block
    night = opened(make_plan(tmp_path, "sh", "trainer.sh", text=text), night="fourth")
    night.follow_all()
    assert read_handoff(night.run).night == "fourth"


@pytest.mark.parametrize("module", ["tasks.nightwatch", "tasks.gpu_sampler", "tasks.report", "flows.cli.app"])
def test_what_a_person_or_a_night_waits_for_starts_without_the_heavy_libraries(module):
    heavy = ("torch", "sklearn", "pandas", "scipy.stats", "transformers", "lightgbm", "optuna")
    code = f"import sys, {module}; print(*(name for name in {heavy} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
