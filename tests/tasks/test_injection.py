"""Faults of a rehearsal: how they are written, and that the trainer has them from inside."""

import sys
from datetime import date

import pytest
from small_night import make_plan

from nightshift.states import NightError
from schedules.plan_source import BUILT_IN, read_plan
from schedules.timetable import timetable
from tasks.injection import Injector, parse_faults
from tasks.night_status import read_status

PLAN = read_plan(BUILT_IN).model_copy(update={"timezone": "Europe/Berlin"})


def faults(text, day=date(2026, 11, 25)):
    return parse_faults(text, timetable(PLAN, PLAN.nights[0], day))


def test_faults_are_read_in_order_of_time_on_their_side_of_midnight():
    found = faults("oom@02:00, crash@23:50,hang@06:59")
    assert [(f.name, f.wall) for f in found] == [("crash", "23:50"), ("oom", "02:00"), ("hang", "06:59")]
    assert [f"{f.at:%d %H:%M}" for f in found] == ["25 22:50", "26 01:00", "26 05:59"]


@pytest.mark.parametrize(
    "text", ["crash", "crash@1", "flood@01:00", "crash@25:00", "crash@07:00", "crash@12:00"]
)
def test_a_fault_that_cannot_be_had_is_refused(text):
    with pytest.raises(NightError, match="--faults"):
        faults(text)


TRAINER = """
import threading
from nightshift.trainer import open_run

run = open_run()
for step in range(1, 4000):
    threading.Event().wait(0.05)
    run.progress(step, samples=step, total=4000, share=run.share(step, 4000))
    if step % 5 == 0:
        run.save(step, lambda folder: (folder / "w").write_text(str(step)), factor=run.lr_factor)
    if run.should_stop(0.3):
        break
run.save(step, lambda folder: (folder / "w").write_text(str(step)), factor=run.lr_factor)
run.finish()
"""


@pytest.mark.slow
def test_a_rehearsed_night_has_its_faults_and_still_hands_over(opened, tmp_path):
    (tmp_path / "train.py").write_text(TRAINER)
    night = opened(make_plan(tmp_path, sys.executable, "train.py"), speed=30.0)
    follower = night.follow_aside()
    night.wait_for_events("checkpoint", 1)
    table = timetable(night.request.plan, night.request.night, night.request.day)
    injector = Injector(parse_faults("crash@23:01,oom@23:02,nan@23:03", table), server_pid=None)
    for _ in range(600):
        injector.have_due(night.run, flow_pid=-1)
        if not injector.waiting:
            break
        night.pause(0.05)
    assert [fault.name for fault in injector.had] == ["crash", "oom", "nan"]
    follower.join(60)
    record = night.exit_record()
    assert {"crash", "out of memory", "not finite"} <= {attempt["fault"] for attempt in record["attempts"]}
    assert record["ending"] == "STOPPED_AT_DEADLINE"
    told = " ".join(note.text for note in read_status(night.run.status).notes)
    assert "SIGKILL" in told
    assert "micro-batch is 8" in told
    assert "not finite" in told
    page = night.run.report_html.read_text()
    assert all(f"Given to this rehearsal: {name}" in page for name in ("crash", "oom", "nan"))
