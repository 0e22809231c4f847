"""What breaks in a night, with real processes: trainer, nightwatch, disk; the night still hands over."""

import json
import os
import resource
import signal
import sys

import numpy as np
import pytest
from open_night import ledger_kinds
from small_night import counting_plan, make_plan

from flows.cli.resume import interrupted_runs
from nightshift.checkpoint import newest_whole, read_state, whole_checkpoints
from tasks.handoff import read_handoff
from tasks.launch import nightwatch_alive, start_nightwatch
from tasks.night_status import read_status
from tasks.process_identity import ProcessIdentity

pytestmark = [pytest.mark.slow, pytest.mark.alone]

FRAIL_TRAINER = """
import os, sys, threading
from nightshift.checkpoint import read_state
from nightshift.trainer import open_run

run, fault = open_run(), sys.argv[1]
first = int(read_state(run.resume)["step"]) if run.resume else 0
fresh = not run.resume
for step in range(first + 1, 41):
    threading.Event().wait(0.05)
    run.progress(step, samples=step, total=40, share=run.share(step, 40))
    if step % 5 == 0:
        run.save(step, lambda folder: (folder / "count.txt").write_text(str(step)), rate=run.lr_factor)
    if step == 12 and fault == "nan" and fresh:
        run.metrics(step, loss=float("nan"))
    if step == 12 and fault == "nan-twice":
        run.not_finite(step)
    if step == 12 and fault == "oom" and run.microbatch is None:
        run.out_of_memory()
    if step == 12 and fault == "hang" and fresh:
        run.phase("train", within_s=1.0)
        while True:
            threading.Event().wait()
    if run.should_stop(0.3):
        break
run.save(step, lambda folder: (folder / "count.txt").write_text(str(step)), rate=run.lr_factor)
run.finish()
"""


def frail_plan(folder, fault):
    (folder / "frail.py").write_text(FRAIL_TRAINER)
    return make_plan(folder, sys.executable, "frail.py", fault)


def notes(night):
    return " | ".join(note.text for note in read_status(night.run.status).notes)


@pytest.mark.parametrize(
    ("fault", "told"), [("nan", "not finite"), ("oom", "out of memory"), ("hang", "hung")]
)
def test_a_fault_is_named_answered_and_the_stage_finishes(opened, tmp_path, fault, told):
    night = opened(frail_plan(tmp_path, fault))
    night.follow_all()
    record = night.exit_record()
    assert record["ending"] == "FINISHED"
    assert [attempt["fault"] for attempt in record["attempts"]][1:] == [""]
    assert told in record["attempts"][0]["fault"] or fault == "hang"
    assert told in notes(night)
    assert read_handoff(night.run).on_time
    last = newest_whole(night.run.stage("work").checkpoints)
    assert read_state(last)["step"] == 40
    assert read_state(last)["rate"] == (0.5 if fault == "nan" else 1.0)
    if fault == "hang":
        assert "Current thread" in night.run.stage("work").output.read_text()


def test_numbers_that_are_not_finite_twice_end_the_stage_with_what_was_good(opened, tmp_path):
    night = opened(frail_plan(tmp_path, "nan-twice"))
    night.follow_all()
    assert night.exit_record()["ending"] == "DIVERGED"
    assert newest_whole(night.run.stage("work").checkpoints).name == "step-000010"


def test_a_killed_nightwatch_is_started_again_and_adopts_its_trainer(opened, tmp_path):
    night = opened(counting_plan(tmp_path, 60), speed=30.0)
    follower = night.follow_aside()
    night.wait_for_events("checkpoint", 1)
    pid = night.trainer_pid()
    night.kill_nightwatch()
    assert ProcessIdentity.of(pid) is not None, "the trainer outlives its nightwatch"
    start_nightwatch(night.run)
    start_nightwatch(night.run)  # a second one is not started
    night.follow_all()
    record = night.exit_record()
    assert record["ending"] == "FINISHED"
    assert [(a["pid"], a["exit_code"]) for a in record["attempts"]] == [(pid, None)]
    assert {"revived", "trainer-adopted"} <= set(ledger_kinds(night.run))
    assert read_handoff(night.run).on_time
    follower.join(5)


def test_after_a_reboot_the_night_resumes_from_its_checkpoint(opened, tmp_path):
    night = opened(counting_plan(tmp_path, 60), speed=30.0)
    night.follow_aside()
    night.wait_for_events("checkpoint", 2)
    pid = night.trainer_pid()
    night.kill_nightwatch()
    os.killpg(pid, signal.SIGKILL)
    assert interrupted_runs(night.request.home) == [night.run]
    start_nightwatch(night.run)
    assert interrupted_runs(night.request.home) == []
    night.follow_all()
    record = night.exit_record()
    assert record["ending"] == "FINISHED"
    assert len(record["attempts"]) == 2
    assert "ended while nobody watched; started again from step-" in notes(night)
    assert read_handoff(night.run).on_time


def test_a_trainer_that_outlived_its_night_is_named_and_ended(opened, tmp_path):
    plan = counting_plan(tmp_path, 10_000)
    first = opened(plan)
    first.follow_aside()
    first.wait_for_events("progress", 2)
    trainer = ProcessIdentity.of(first.trainer_pid())
    first.kill_nightwatch()
    assert trainer.alive()
    second = opened(plan)
    second.follow_aside()
    second.wait_for_events("progress", 1)
    assert not trainer.alive()
    assert f"2026-03-28/small, work (pid {trainer.pid})" in notes(second)
    assert "orphan-ended" in ledger_kinds(second.run)


def test_a_full_disk_never_stops_the_training(opened, tmp_path):
    night = opened(make_plan(tmp_path, sys.executable, "heavy.py"))
    heavy = FRAIL_TRAINER.replace("write_text(str(step))", "write_bytes(bytes(2_000_000))").replace(
        "sys.argv[1]", "''"
    )
    (tmp_path / "heavy.py").write_text(heavy)
    follower = night.follow_aside()
    night.wait_for_events("checkpoint", 1)
    soft, hard = resource.prlimit(
        night.trainer_pid(), resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY)
    )
    night.wait_for_events("checkpoint-failed", 2)
    resource.prlimit(night.trainer_pid(), resource.RLIMIT_FSIZE, (soft, hard))
    follower.join(40)
    assert night.exit_record()["ending"] == "FINISHED"
    assert len(night.exit_record()["attempts"]) == 1
    whole = [read_state(path)["step"] for path in whole_checkpoints(night.run.stage("work").checkpoints)]
    assert whole[0] == 5
    assert whole[-1] == 40
    assert "could not be saved" in notes(night)
    assert "checkpoint-failed" in ledger_kinds(night.run)


def test_a_night_interrupted_while_it_was_judged_is_judged_again(opened, tmp_path):
    night = opened(counting_plan(tmp_path, 3))
    night.follow_all("work")
    night.kill_nightwatch()
    assert read_handoff(night.run) is None
    start_nightwatch(night.run)
    night.follow_all("judge", "hand-over", "report")
    assert read_handoff(night.run).on_time
    assert json.loads(night.run.report_json.read_text())["on_time"]
    assert ledger_kinds(night.run).count("stage-ended") == 1
    night.wait_over()
    assert not nightwatch_alive(night.run)


@pytest.mark.parametrize("seed", [1])
def test_wherever_the_nightwatch_is_killed_the_night_hands_over_and_its_chain_is_whole(
    opened, tmp_path, seed
):
    night = opened(counting_plan(tmp_path, 40), speed=20.0)
    rng, kills = np.random.default_rng(seed), 0
    while read_handoff(night.run) is None and kills < 9:
        night.pause(float(rng.uniform(0.1, 2.5)))
        if nightwatch_alive(night.run):
            night.kill_nightwatch()
            kills += 1
        start_nightwatch(night.run)
    night.wait_over()
    assert kills >= 3
    assert read_handoff(night.run).on_time
    report = json.loads(night.run.report_json.read_text())
    assert report["word"] == "PAUSE_AND_FIX", "a night without a judge; never STOP for a broken chain"
    kinds = ledger_kinds(night.run)
    assert [kinds.count(kind) for kind in ("night-opened", "stage-ended", "handed-over")] == [1, 1, 1]
    assert sum(report["seconds"]["totals"].values()) == pytest.approx(20 * 60, abs=1)
