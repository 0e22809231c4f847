"""The nightwatch with real processes: start, deadline, crash, kill, stop, silence, and a fourth night from TOML."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from small_night import PLAN, counting_plan, make_data, make_plan, shell_plan

from flows.request import request_for
from nightshift.checkpoint import newest_whole, read_state
from nightshift.events import read_events
from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.handoff import read_handoff
from tasks.launch import new_run, nightwatch_alive, open_night
from tasks.night_line import NightwatchGone, ask, follow
from tasks.night_status import read_status
from verdict.ledger import read_ledger
from verdict.seal import read_seal

pytestmark = pytest.mark.slow
STEPS = ("work", "judge", "hand-over", "report")


class OpenNight:
    """A night that a test has opened, and ends for certain."""

    def __init__(self, tmp_path: Path, plan: Path, night: str = "small", speed: float = 60.0):
        data = tmp_path / "data"
        data = data if data.exists() else make_data(data)
        home = tmp_path / "runs"
        home.mkdir(exist_ok=True)
        self.request = request_for(night, str(plan), str(data), str(home), speed, "2026-03-28")
        self.run = new_run(self.request)
        open_night(self.request, self.run)

    def follow_all(self, *steps: str) -> None:
        for step in steps or STEPS:
            for _ in follow(self.run, step):
                pass

    def wait_for_events(self, kind: str, count: int) -> list:
        for _ in range(200):
            events = [e for e in read_events(self.run.stage("work").events)[0] if e.kind == kind]
            if len(events) >= count:
                return events
            threading.Event().wait(0.1)
        raise AssertionError(f"no {count} events {kind}")

    def wait_over(self, seconds: float = 40) -> None:
        for _ in range(int(seconds * 10)):
            if not nightwatch_alive(self.run):
                return
            threading.Event().wait(0.1)
        raise AssertionError("the nightwatch did not end")

    def exit_record(self) -> dict:
        return json.loads(self.run.stage("work").exit.read_text())


@pytest.fixture
def opened(tmp_path):
    nights = []

    def open_it(plan, night="small", speed=60.0):
        nights.append(OpenNight(tmp_path, plan, night, speed))
        return nights[-1]

    yield open_it
    for night in nights:
        if nightwatch_alive(night.run):
            pid = json.loads(night.run.nightwatch_identity.read_text())["pid"]
            os.kill(pid, signal.SIGKILL)


def ledger_kinds(run: RunDir) -> list[str]:
    return [entry.kind for entry in read_ledger(run.ledger, read_seal(run).nonce)]


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
    follower = threading.Thread(target=night.follow_all)
    follower.start()
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
    follower = threading.Thread(target=night.follow_all)
    follower.start()
    night.wait_for_events("checkpoint", 1)
    ask(night.run, {"ask": "stop"})
    follower.join(30)
    assert night.exit_record()["ending"] == "CANCELLED"
    assert newest_whole(night.run.stage("work").checkpoints) is not None
    assert read_handoff(night.run) is not None


def test_a_hand_over_moved_forward_reaches_the_running_trainer(opened, tmp_path):
    night = opened(counting_plan(tmp_path, 10_000), speed=30.0)
    follower = threading.Thread(target=night.follow_all)
    follower.start()
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
