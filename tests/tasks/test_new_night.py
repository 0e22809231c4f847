"""`nightshift new`: what it writes runs as it stands, and nothing of a person's is written over."""

import subprocess
import sys
from pathlib import Path

import pytest
from open_night import OpenNight
from topics import write_topics

from nightshift.states import NightError
from schedules.plan_source import read_plan
from tasks.handoff import read_handoff
from tasks.new_night import new_night
from verdict.finding import read_verdict

REPOSITORY = Path(__file__).parents[2]


def test_the_skeleton_runs_under_its_night_and_is_judged(tmp_path):
    plan, _ = new_night("my-night", tmp_path)
    write_topics(tmp_path / "data")
    assert [night.name for night in read_plan(plan).nights] == ["my-night"]
    night = OpenNight(tmp_path, plan, "my-night", speed=240.0)
    try:
        night.follow_all("train", "judge", "hand-over", "report")
        assert read_handoff(night.run).on_time
        verdict = read_verdict(night.run)
        assert verdict.checkpoint, verdict.sentence
        assert verdict.word != "STOP", verdict.sentence
    finally:
        night.end()


def test_the_skeleton_runs_outside_of_a_night(tmp_path):
    _, trainer = new_night("alone", tmp_path)
    done = subprocess.run(
        [sys.executable, trainer.name], cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY)}, check=False
    )
    assert done.returncode == 0
    assert len(list((tmp_path / "nightshift-run" / "checkpoints").glob("step-*"))) == 20


def test_names_and_files_are_guarded(tmp_path):
    with pytest.raises(NightError, match="is not a name"):
        new_night("My Night", tmp_path)
    (tmp_path / "train_taken.py").write_text("mine")
    with pytest.raises(NightError, match="is there already"):
        new_night("taken", tmp_path)
    assert (tmp_path / "train_taken.py").read_text() == "mine"
    assert not (tmp_path / "taken.toml").exists()
