"""A stage that several processes run together (`processes = 2`): killed once, resumed, handed over in time."""

import json
import os
import signal
import subprocess
import sys

import pytest
from open_night import OpenNight
from small_night import PLAN, make_plan

from nightshift.checkpoint import newest_whole, read_state
from nightshift.events import read_events
from nightshift.states import NightError
from schedules.plan_source import PlanError, read_plan
from tasks.handoff import read_handoff
from tasks.launch import NightRequest, check_night_settings, make_seal, too_few_gpus
from tasks.stage_standing import read_memory

TOGETHER = """
import threading
import torch
from torch import distributed
from nightshift.checkpoint import read_state
from nightshift.torchrun import agreed
from nightshift.trainer import open_run

run = open_run()
distributed.init_process_group("gloo")
first = int(read_state(run.resume)["step"]) if run.resume else 0
for step in range(first + 1, 41):
    threading.Event().wait(0.05)
    sum_of_ranks = torch.tensor([float(run.rank + 1)])
    distributed.all_reduce(sum_of_ranks)
    run.progress(step, samples=step, total=40, share=run.share(step, 40))
    run.metrics(step, ranks=float(sum_of_ranks))
    if step % 5 == 0:
        run.save(step, lambda folder: (folder / "count.txt").write_text(str(step)), kind="counting")
    if agreed(run.should_stop(0.3)):
        break
run.save(step, lambda folder: (folder / "count.txt").write_text(str(step)), kind="counting")
run.finish()
distributed.destroy_process_group()
"""
TWO = PLAN.replace("elastic = true", "elastic = true\nprocesses = 2")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_two_processes_are_killed_resumed_and_handed_over(tmp_path):
    (tmp_path / "together.py").write_text(TOGETHER)
    plan = make_plan(tmp_path, "{python}", "together.py", text=TWO)
    night = OpenNight(tmp_path, plan, speed=20.0)
    try:
        stage = night.run.stage("work")
        for _ in range(400):
            if any(event.kind == "checkpoint" for event in read_events(stage.events)[0]):
                break
            night.pause(0.05)
        os.killpg(read_memory(stage).running.pid, signal.SIGKILL)
        night.follow_all()
        night.wait_over()
    finally:
        night.end()
    record = json.loads(stage.exit.read_text())
    assert record["ending"] == "FINISHED", stage.output.read_text()[-2000:]
    assert len(record["attempts"]) == 2
    events = read_events(stage.events)[0]
    assert {event.values["ranks"] for event in events if event.kind == "metrics"} == {3.0}, (
        "1 + 2: two processes"
    )
    assert sum(event.kind == "started" for event in events) == 2, "rank 0 alone speaks"
    assert read_state(newest_whole(stage.checkpoints))["step"] == 40
    assert read_handoff(night.run).on_time


def test_what_one_process_must_do_is_refused(tmp_path):
    own = make_plan(tmp_path, "{python}", "-m", "models.train_ranker", text=TWO)
    with pytest.raises(NightError, match=r"processes = 2: models.train_ranker is one process"):
        check_night_settings(read_plan(own), own.name)


def test_torchrun_starts_python_alone(tmp_path):
    with pytest.raises(PlanError, match=r"processes = 2 needs a command that begins with \{python\}"):
        read_plan(make_plan(tmp_path, "./train.sh", text=TWO))


@pytest.mark.parametrize(
    ("gpus", "here", "wrong"),
    [
        (2, 2, ""),
        (1, 0, ""),
        (
            1,
            2,
            "stage work: processes = 2: each needs a GPU, and a night holds 1 of 2 here; set gpus = 2 in the plan",
        ),
        (2, 1, "a night holds 1 of 1 here; set processes = 1"),
    ],
)
def test_each_process_needs_a_gpu_of_its_own(tmp_path, monkeypatch, gpus, here, wrong):
    monkeypatch.setattr("tasks.launch.find_gpus", lambda: ([object()] * here, ""))
    monkeypatch.setattr("tasks.launch.torch_without_cuda", lambda: False)
    text = TWO.replace("schema = 1", f"schema = 1\ngpus = {gpus}")
    path = make_plan(tmp_path, "{python}", "together.py", text=text)
    plan = read_plan(path)
    check_night_settings(plan, path.name)  # it is right; it may be deployed, simulated and read here
    assert (too_few_gpus(plan, plan.nights[0]) or "").endswith(wrong)
    assert bool(too_few_gpus(plan, plan.nights[0])) == bool(wrong)
    if wrong:
        request = NightRequest(plan, tmp_path, plan.nights[0], None, tmp_path / "runs", 60.0)
        with pytest.raises(NightError, match="each needs a GPU"):
            make_seal(request)


ABORTS_WHEN_TAKEN_DOWN = """
import atexit, os, sys

class Thread:
    def __del__(self, abort=os.abort):
        abort()

left = Thread()
log = open("left-open.txt", "w")
log.write("all of it")
atexit.register(print, "said at exit")
print("done", end=" ")
sys.exit({code})
"""


@pytest.mark.parametrize(("code", "seen"), [("", 0), ("0", 0), ("75", 75), ("'no such key'", 1)])
def test_a_member_that_has_ended_is_not_taken_down_piece_by_piece(tmp_path, code, seen):
    program = tmp_path / "program.py"
    program.write_text(ABORTS_WHEN_TAKEN_DOWN.replace("{code}", code))
    member = [sys.executable, "-m", "nightshift.torchrun", "--member", str(program)]
    told = os.environ | {"NIGHT_LAUNCHER": str(os.getpid())}
    done = subprocess.run(member, cwd=tmp_path, env=told, capture_output=True, text=True, check=False)
    assert (tmp_path / "left-open.txt").read_text() == "all of it"
    assert (done.returncode, done.stdout) == (seen, "done said at exit\n")
    assert ("no such key" in done.stderr) == ("key" in code)
