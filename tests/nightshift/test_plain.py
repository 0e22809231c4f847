"""`nightshift.plain` around real programs: stopped, torn in a save, writing what is no number."""

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nightshift.checkpoint import newest_whole, whole_checkpoints
from nightshift.events import read_events
from nightshift.rundir import StageDir

REPOSITORY = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
WORDS = (
    "--metric",
    "epoch (?P<epoch>[0-9]+) loss (?P<loss>[0-9.]+)",
    "--keep",
    "model.txt",
    "--scores",
    "s.jsonl",
)
SAVES = """
import os, sys, time
for epoch in range(1, 1000):
    for name, text in (("model.txt", f"weights {epoch}"), ("s.jsonl", "{}")):
        with open(name + ".aside", "w") as file:
            file.write(text)
        os.replace(name + ".aside", name)
    print(f"epoch {epoch} loss 0.5", flush=True)
    time.sleep(0.05)
"""
TEARS = """
import os, time
with open("model.aside", "w") as file:
    file.write("whole")
os.replace("model.aside", "model.txt")
print("epoch 1 loss 0.5", flush=True)
time.sleep(2)
with open("model.txt", "w") as file:
    for _ in range(1000):
        file.write("half")
        file.flush()
        time.sleep(0.05)
"""
CHATS = """
print("epoch 1 loss 0.5.", flush=True)
print("epoch 2 loss 0.25", flush=True)
for _ in range(4000):
    print("x" * 100, flush=True)
"""


def start(folder, program, seconds=60.0, words=WORDS):
    stage = StageDir(folder / "train")
    stage.out.mkdir(parents=True)
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY), "NIGHT_RUN_DIR": str(stage.path), "NIGHT_NONCE": "n0",
        "NIGHT_DEADLINE": (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(),
    }  # fmt: skip
    command = [sys.executable, "-m", "nightshift.plain", *words, "--", sys.executable, "-c", program]
    return stage, subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    )


def wait_for(stage, kind):
    for _ in range(200):
        if any(event.kind == kind for event in read_events(stage.events)[0]):
            return
        threading.Event().wait(0.1)
    raise AssertionError(f"no {kind}")


def test_a_program_that_is_stopped_with_its_group_is_kept_with_its_scores(tmp_path):
    stage, process = start(tmp_path, SAVES)
    wait_for(stage, "checkpoint")
    os.killpg(process.pid, signal.SIGTERM)  # as the nightwatch does
    assert process.wait(20) == 0
    assert read_events(stage.events)[0][-1].reason == "asked to stop"
    newest = newest_whole(stage.checkpoints)
    assert (newest / "scores.jsonl").read_text() == "{}"
    kept = [path for path in whole_checkpoints(stage.checkpoints) if (path / "model.txt").exists()]
    assert (kept[-1] / "model.txt").read_text() == (stage.out / "work" / "model.txt").read_text()


def test_a_file_that_is_torn_by_the_deadline_is_not_kept(tmp_path):
    stage, process = start(tmp_path, TEARS, seconds=11.0)
    assert process.wait(40) == 0
    assert "half" in (stage.out / "work" / "model.txt").read_text()
    texts = {(path / "model.txt").read_text() for path in whole_checkpoints(stage.checkpoints)}
    assert texts == {"whole"}


def test_what_is_no_number_is_passed_over_and_the_program_is_read_on(tmp_path):
    stage, process = start(tmp_path, CHATS, words=WORDS[:2])
    assert process.wait(30) == 0
    told = [event for event in read_events(stage.events)[0] if event.kind == "metrics"]
    assert [event.values["loss"] for event in told] == [0.25]


def test_a_very_long_word_is_a_word(tmp_path):
    stage, process = start(tmp_path, f"print({'7' * 5000!r})", words=())
    assert process.wait(30) == 0
    assert json.loads(stage.events.read_text().splitlines()[-1])["reason"] == "done"
