"""Disk space of a night: ballast, forecast, checkpoints that come home from the second sink."""

import os

from nightshift.checkpoint import newest_whole, write_checkpoint
from nightshift.rundir import RunDir
from schedules.clock import ManualClock
from tasks import storage
from tasks.storage import drop_ballast, fetch_from_sink, hold_ballast, short_of_space
from verdict.ledger import Ledger, read_chain


def filled(folder, step):
    return write_checkpoint(folder, step, lambda p: (p / "w").write_bytes(bytes(1000)), {}, "n")


def test_ballast_is_held_once_and_given_up_once(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "BALLAST_BYTES", 1 << 16)
    run = RunDir(tmp_path)
    hold_ballast(run)
    hold_ballast(run)
    assert run.ballast.stat().st_size == 1 << 16
    assert drop_ballast(run)
    assert not drop_ballast(run)


def test_a_checkpoint_comes_home_from_the_second_sink(tmp_path):
    stage, sink = RunDir(tmp_path).stage("train"), tmp_path / "sink"
    filled(stage.checkpoints, 1)
    filled(sink, 2)
    torn = filled(sink, 3)
    (torn / "w").write_bytes(b"torn")
    assert [path.name for path in fetch_from_sink(sink, stage)] == ["step-000002"]
    assert newest_whole(stage.checkpoints).name == "step-000002"
    assert not (sink / "step-000002").exists()
    assert fetch_from_sink(sink, stage) == []


def test_a_disk_that_gets_full_is_forecast(tmp_path, monkeypatch):
    run = RunDir(tmp_path)
    stage = run.stage("train")
    assert short_of_space(run, stage) == ""
    filled(stage.checkpoints, 1)
    assert short_of_space(run, stage) == ""
    monkeypatch.setattr(storage, "free_bytes", lambda folder: 2000)
    assert "the next checkpoint wants" in short_of_space(run, stage)


def test_a_ledger_line_is_written_again_after_room_was_made(tmp_path, monkeypatch, utc_start):
    calls = []
    ledger = Ledger(
        tmp_path / "ledger.jsonl", "n", ManualClock(utc_start), on_full=lambda: calls.append("room")
    )
    ledger.write("first")
    write = os.write

    def half(descriptor, line):
        if not calls and line.startswith(b'{"seq"'):
            write(descriptor, line[:10])
            raise OSError(28, "No space left on device")
        return write(descriptor, line)

    monkeypatch.setattr(os, "write", half)
    ledger.write("second")
    chain = read_chain(tmp_path / "ledger.jsonl", "n")
    assert calls == ["room"]
    assert [entry.kind for entry in chain.entries] == ["first", "second"]
    assert not chain.torn
