"""Fusion training by two real processes under torchrun (gloo), against one process that takes the same batches."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from fusion_process import ALONE, REPOSITORY, wait_for
from fusion_process import start as start_process
from safetensors.numpy import load_file

from models.fusion_steps import pieces
from nightshift.checkpoint import newest_whole, read_state
from nightshift.events import read_events
from nightshift.states import TrainerExit
from nightshift.torchrun import members
from tasks.process_identity import ProcessIdentity

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
SMALL = {"epochs": 2, "queries_per_batch": 8}
TWO = "-m", "nightshift.torchrun", "--processes", "2"


def start(folder, bar, *launcher, settings=None, **more):
    words = (*launcher, *ALONE) if launcher else ()
    return start_process(folder, bar, SMALL | (settings or {}), *words, **more)


def finish(stage, process):
    assert process.wait(150) == 0, stage.output.read_text()[-3000:]


def losses(stage):
    return [event.values["loss"] for event in read_events(stage.events)[0] if "loss" in event.values]


def gone(pid):
    for _ in range(100):
        if ProcessIdentity.of(pid) is None:
            return True
        threading.Event().wait(0.1)
    return False


def test_two_processes_reach_the_loss_and_the_weights_of_one(tmp_path, bar):
    two, both = start(tmp_path / "two", bar, *TWO)
    finish(two, both)
    one, single = start(
        tmp_path / "one", bar, NIGHT_MICROBATCH="4", OMP_NUM_THREADS="1"
    )  # the same two pieces of every batch
    finish(one, single)
    ends = [read_state(newest_whole(stage.checkpoints)) for stage in (two, one)]
    assert [end["step"] for end in ends] == [ends[0]["step"]] * 2
    weights = [load_file(newest_whole(stage.checkpoints) / "fusion.safetensors") for stage in (two, one)]
    assert weights[0].keys() == weights[1].keys()
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert losses(two)[0] == losses(one)[0], "the loss of the very first batches, before any word's timing"
    assert losses(two)[-1] < losses(two)[0]
    kinds = [event.kind for event in read_events(two.events)[0]]
    assert (kinds.count("started"), kinds.count("finished")) == (1, 1), "rank 0 alone speaks"


def test_a_killed_launcher_takes_its_processes_along_and_the_training_is_resumed(tmp_path, bar):
    stage, process = start(tmp_path / "two", bar, *TWO, settings={"epochs": 8})
    wait_for(stage, "checkpoint", 1, process)
    pids = members(process.pid)
    assert sorted(pids) == [0, 1]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert all(gone(pid) for pid in pids.values())
    resume = newest_whole(stage.checkpoints)
    before = read_state(resume)["step"]
    again, second = start(stage.path, bar, *TWO, settings={"epochs": 8}, NIGHT_RESUME=str(resume))
    finish(again, second)
    assert read_state(newest_whole(stage.checkpoints))["step"] > before


def test_a_killed_member_ends_the_whole(tmp_path, bar):
    stage, process = start(tmp_path / "two", bar, *TWO, settings={"epochs": 400})
    wait_for(stage, "checkpoint", 1, process)
    os.kill(members(process.pid)[1], signal.SIGKILL)
    assert process.wait(60) == 1, stage.output.read_text()[-2000:]
    assert "rank 1 ended with -9" in stage.output.read_text()


def test_sigterm_is_a_request_for_a_last_checkpoint(tmp_path, bar):
    stage, process = start(tmp_path / "two", bar, *TWO, settings={"epochs": 4000})
    wait_for(stage, "progress", 1, process)
    process.send_signal(signal.SIGTERM)
    finish(stage, process)
    assert wait_for(stage, "finished", 1, process)[-1].reason == "asked to stop"


def test_what_broke_is_told_by_the_exit_code(tmp_path, bar):
    program = tmp_path / "broken.py"
    program.write_text(
        "from nightshift.trainer import open_run\nrun = open_run()\nif run.rank == 0:\n    run.not_finite(3)\n"
    )
    done = subprocess.run(
        [sys.executable, *TWO, str(program)], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == TrainerExit.NOT_FINITE, done.stdout + done.stderr


def test_every_query_of_a_batch_is_some_process_s():
    for size, forward, count in ((2, 8, 8), (3, 2, 8), (4, 1, 3), (1, 4, 7)):
        rows = np.arange(count)
        taken = [pieces(rows, rank, size, forward) for rank in range(size)]
        assert sorted(int(row) for part in taken for _, piece in part for row in piece) == list(rows)
        numbers = [number for part in taken for number, _ in part]
        assert len(set(numbers)) == len(numbers), "each piece draws its own dropout"
