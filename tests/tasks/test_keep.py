"""A copy of the runs that outlives the machine: always fit to go on from, and a Drive that fails costs copies only."""

import os
import shutil

from nightshift.checkpoint import newest_whole, remove_checkpoint, write_checkpoint
from tasks.keep import keep_once, restore


def make_runs(tmp_path):
    runs = tmp_path / "runs"
    stage = runs / "2026-11-26" / "small" / "stages" / "work"
    stage.mkdir(parents=True)
    (runs / "2026-11-26" / "small" / "ledger.jsonl").write_text("one\n")
    for step in (5, 10):
        write_checkpoint(stage / "checkpoints", step, lambda f: (f / "w").write_text("weights"), {}, "nonce")
    (runs / ".cache").mkdir()
    (runs / ".cache" / "big").write_text("can be made anew")
    (stage / ".half.tmp").write_text("half")
    os.mkfifo(stage / "pipe")
    return runs, stage


def test_what_has_changed_is_copied_and_comes_back(tmp_path):
    runs, stage = make_runs(tmp_path)
    drive = tmp_path / "drive"
    copied, troubles = keep_once(runs, drive)
    assert (copied, troubles) == (7, [])
    assert keep_once(runs, drive) == (0, [])
    (stage.parents[1] / "ledger.jsonl").write_text("one\ntwo\n")
    assert keep_once(runs, drive) == (1, [])
    shutil.rmtree(runs)
    assert restore(drive, runs) == 7
    assert newest_whole(stage / "checkpoints").name == "step-000010"
    assert restore(drive, runs) == 0


def test_a_forgotten_checkpoint_is_forgotten_there_and_a_lost_one_is_not(tmp_path):
    runs, stage = make_runs(tmp_path)
    drive = tmp_path / "drive"
    keep_once(runs, drive)
    copies = drive / stage.relative_to(runs) / "checkpoints"
    remove_checkpoint(stage / "checkpoints" / "step-000005")
    keep_once(runs, drive)
    assert [path.name for path in copies.iterdir()] == ["step-000010"]
    remove_checkpoint(stage / "checkpoints" / "step-000010")
    keep_once(runs, drive)
    assert [path.name for path in copies.iterdir()] == ["step-000010"]


def test_a_checkpoint_that_was_copied_in_part_is_none(tmp_path):
    runs, stage = make_runs(tmp_path)
    drive = tmp_path / "drive"
    keep_once(runs, drive)
    copy = drive / stage.relative_to(runs) / "checkpoints"
    (copy / "step-000010" / "manifest.json").unlink()
    assert newest_whole(copy).name == "step-000005"


def test_a_drive_that_fails_is_told_and_no_error(tmp_path):
    runs, _ = make_runs(tmp_path)
    (tmp_path / "drive").write_text("a file where a folder should be")
    copied, troubles = keep_once(runs, tmp_path / "drive")
    assert copied == 0
    assert len(troubles) == 7
