"""Fusion training by two real processes under torchrun (gloo), against one process that takes the same batches."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from models.data_catalogue import catalogue
from models.fusion_steps import pieces
from nightshift.checkpoint import newest_whole, read_state
from nightshift.events import read_events
from nightshift.rundir import StageDir
from nightshift.states import TrainerExit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
REPOSITORY = Path(__file__).parents[2]
SMALL = {
    "width": 64, "hidden": 32, "text_encoder": "none/none", "image_network": False, "designs": ["fusion"],
    "one_seed": True, "epochs": 2, "queries_per_batch": 8,
}  # fmt: skip
TWO = "-m", "nightshift.torchrun", "--processes", "2"


@pytest.fixture(scope="module")
def bar(tmp_path_factory):
    return catalogue(tmp_path_factory.mktemp("cache"), 120)


def start(folder, bar, *launcher, settings=None, **more):
    stage = StageDir(folder)
    stage.out.mkdir(parents=True, exist_ok=True)
    stage.settings.write_text(json.dumps(SMALL | (settings or {})))
    inputs = {
        "train": bar.splits["train"],
        "val": bar.splits["val"],
        "images": bar.images,
        "settings": stage.settings,
    }
    stage.inputs.write_text(json.dumps({name: str(path) for name, path in inputs.items()}))
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY), "NIGHT_RUN_DIR": str(folder), "NIGHT_INPUTS": str(stage.inputs),
        "NIGHT_SEED": "11", "NIGHT_NONCE": "n0",
    } | more  # fmt: skip
    command = [sys.executable, *(launcher or ("-m",)), *(["-m"] if launcher else []), "models.train_fusion"]
    with stage.output.open("ab") as log:
        return stage, subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)


def finish(stage, process):
    assert process.wait(150) == 0, stage.output.read_text()[-3000:]


def losses(stage):
    return [event.values["loss"] for event in read_events(stage.events)[0] if "loss" in event.values]


def wait_for(stage, kind, process):
    for _ in range(600):
        found = [event for event in read_events(stage.events)[0] if event.kind == kind]
        if found:
            return found[-1]
        assert process.poll() is None, stage.output.read_text()[-2000:]
        threading.Event().wait(0.1)
    raise AssertionError(f"no {kind}")


def members(launcher):
    """Return pid by rank, of those that a launcher has started."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            told = (folder / "environ").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        ranks = [int(word[5:]) for word in told if word.startswith(b"RANK=")]
        if parent == launcher.pid and ranks:
            found[ranks[0]] = int(folder.name)
    return found


def gone(pid):
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
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
    wait_for(stage, "checkpoint", process)
    pids = members(process)
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
    wait_for(stage, "checkpoint", process)
    os.kill(members(process)[1], signal.SIGKILL)
    assert process.wait(60) == 1, stage.output.read_text()[-2000:]
    assert "rank 1 ended with -9" in stage.output.read_text()


def test_sigterm_is_a_request_for_a_last_checkpoint(tmp_path, bar):
    stage, process = start(tmp_path / "two", bar, *TWO, settings={"epochs": 4000})
    wait_for(stage, "progress", process)
    process.send_signal(signal.SIGTERM)
    finish(stage, process)
    assert wait_for(stage, "finished", process).reason == "asked to stop"


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
