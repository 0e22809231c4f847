"""The fusion trainer as the nightwatch runs it: a real process, killed and resumed, cut at its deadline."""

import json
import os
import shutil
import signal
from datetime import UTC, datetime, timedelta

import pytest
from fusion_process import start as start_process
from fusion_process import wait_for

from models.stage_best import best_by_design, best_checkpoint
from nightshift.checkpoint import damage, newest_whole, read_state, whole_checkpoints
from nightshift.events import read_events
from nightshift.rundir import StageDir

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


def start(folder, bar, seconds=120, resume=None, **settings):
    deadline = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    more = {"NIGHT_RESUME": str(resume)} if resume else {}
    return start_process(folder, bar, settings, NIGHT_DEADLINE=deadline, **more)[1]


def test_a_killed_training_goes_on_from_its_checkpoint_and_learns(tmp_path, bar):
    stage = StageDir(tmp_path / "train")
    process = start(stage.path, bar, epochs=6)
    wait_for(stage, "checkpoint", 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    resume = newest_whole(stage.checkpoints)
    first = read_state(resume)
    assert first["epoch"] >= 2
    again = start(stage.path, bar, resume=resume, epochs=6)
    assert again.wait(120) == 0, stage.output.read_text()[-2000:]
    last = read_state(newest_whole(stage.checkpoints))
    assert last["epoch"] == 6
    assert last["nonce"] == "n0"
    assert "TF-IDF" in last["encoders"]["text"]
    events, _ = read_events(stage.events)
    second = [i for i, event in enumerate(events) if event.kind == "started"][1]
    assert min(e.step for e in events[second:] if e.kind == "progress") > first["step"]
    scores = [e.values["val_ndcg_at_10"] for e in events if "val_ndcg_at_10" in e.values]
    assert scores[-1] > scores[0]
    losses = [e.values["loss"] for e in events if "loss" in e.values]
    assert losses[-1] < losses[0]


def test_a_training_cut_at_its_deadline_ends_by_itself_with_whole_checkpoints(tmp_path, bar):
    stage = StageDir(tmp_path / "train")
    process = start(stage.path, bar, seconds=14, epochs=2000)
    assert process.wait(40) == 0
    events, _ = read_events(stage.events)
    assert events[-1].kind == "finished"
    assert events[-1].reason == "deadline"
    paths = sorted(stage.checkpoints.glob("step-*"))
    assert paths
    assert all(damage(path) is None for path in paths)
    assert read_state(paths[-1])["step"] == max(e.step for e in events)


def test_every_seed_gets_its_sum_and_a_choice_is_written(tmp_path, bar):
    stage = StageDir(tmp_path / "train")
    designs = ["fusion", "late"]
    assert start(stage.path, bar, epochs=2, designs=designs, one_seed=True).wait(120) == 0
    best = best_by_design(whole_checkpoints(stage.checkpoints))
    assert {name for name, _ in best} == {"fusion", "late", "both"}
    choice = json.loads((stage.out / "choice.json").read_text())
    assert {row["design"] for row in choice["ablation"]} == {"fusion", "late", "both"}
    assert choice["reference"] == "late"
    assert read_state(best_checkpoint(stage.path))["design"] == choice["design"]

    # killed before the sum was saved: the next start makes it from its parts
    shutil.rmtree(best["both", 11])
    told = choice["per_query"].pop("both")
    (stage.out / "choice.json").write_text(json.dumps(choice))
    resume = newest_whole(stage.checkpoints)
    again = start(stage.path, bar, epochs=2, designs=designs, one_seed=True, resume=resume)
    assert again.wait(120) == 0, stage.output.read_text()[-2000:]
    assert json.loads((stage.out / "choice.json").read_text())["per_query"]["both"] == told
    assert ("both", 11) in best_by_design(whole_checkpoints(stage.checkpoints))
