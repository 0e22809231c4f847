"""The mirror in Weights & Biases: live and complete, and a dead one delays nothing."""

import time

import pytest
from small_night import counting_plan

from tasks.mirror import mirror_night

wandb = pytest.importorskip("wandb")


def test_a_dead_wandb_delays_no_stage(opened, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    night = opened(counting_plan(tmp_path, 20))
    begun = time.monotonic()
    night.follow_all()
    assert time.monotonic() - begun < 15
    assert night.exit_record()["ending"] == "FINISHED"


def test_a_night_is_mirrored_while_it_runs(opened, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_MODE", "offline")
    night = opened(counting_plan(tmp_path, 100))
    for _ in range(120):
        if night.run.mirror.is_file():
            break
        night.pause(0.1)
    assert night.run.mirror.is_file(), night.run.nightwatch_log.read_text()
    assert not night.run.handoff.is_file()
    night.follow_all()
    assert mirror_night(night.run) == night.run.mirror.read_text()


def test_without_a_key_the_mirror_is_written_offline_at_the_end(opened, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    night = opened(counting_plan(tmp_path, 10))
    night.follow_all()
    assert not night.run.mirror.exists()
    where = mirror_night(night.run)
    assert "offline-run" in where
