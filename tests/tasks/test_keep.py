"""A copy of the runs that outlives the machine: always fit to go on from, and a Drive that fails costs copies only."""

import os
import shutil

from flows.cli.keep import keep_command
from nightshift.checkpoint import newest_whole, remove_checkpoint, write_checkpoint
from nightshift.rundir import StageDir
from tasks import keep
from tasks.keep import keep_once, restore


def make_runs(tmp_path):
    runs = tmp_path / "runs"
    stage = runs / "2026-11-26" / "small" / "stages" / "work"
    stage.mkdir(parents=True)
    (runs / "2026-11-26" / "small" / "ledger.jsonl").write_text("one\n")
    for step in (5, 10):
        for at in (StageDir(stage), StageDir(stage).member(1)):  # the second's are not worth it
            write_checkpoint(at.checkpoints, step, lambda f: (f / "w").write_text("weights"), {}, "nonce")
    (runs / ".cache").mkdir()
    (runs / ".cache" / "big").write_text("can be made anew")
    (runs / ".tuners" / "one").mkdir(parents=True)
    (runs / ".tuners" / "one" / "events.jsonl").write_text("of a helper, which is asked anew")
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
    assert restore(drive, runs) == (7, [])
    assert newest_whole(stage / "checkpoints").name == "step-000010"
    assert restore(drive, runs) == (0, [])


def test_a_file_that_is_only_named_like_a_record_is_copied_as_any(tmp_path):
    runs, stage = make_runs(tmp_path)
    (stage / "ledger.jsonl").write_text("a trainer's own")
    keep_once(runs, tmp_path / "drive")
    assert (tmp_path / "drive" / stage.relative_to(runs) / "ledger.jsonl").read_text() == "a trainer's own"


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
    assert len(troubles) == 7, "six files, and the copies that were looked for"
    assert not any("ledger" in trouble for trouble in troubles), "it would speak of files that are not there"


def test_the_only_whole_copy_is_never_forgotten(tmp_path, monkeypatch):
    runs, stage = make_runs(tmp_path)
    drive = tmp_path / "drive"
    remove_checkpoint(stage / "checkpoints" / "step-000010")
    keep_once(runs, drive)
    write_checkpoint(stage / "checkpoints", 10, lambda f: (f / "w").write_text("weights"), {}, "nonce")
    remove_checkpoint(stage / "checkpoints" / "step-000005")
    real = keep._copy

    def full(path, target):
        if "step-000010" in str(path):
            raise OSError(28, "No space left on device")
        real(path, target)

    monkeypatch.setattr(keep, "_copy", full)
    (stage.parents[1] / "ledger.jsonl").write_text("one\ntwo\n")
    keep_once(runs, drive)
    assert newest_whole(drive / stage.relative_to(runs) / "checkpoints").name == "step-000005"
    assert (drive / "2026-11-26" / "small" / "ledger.jsonl").read_text() == "one\n", (
        "as old as the files beside it"
    )


def test_a_line_that_is_written_during_the_copy_waits_for_its_files(tmp_path, monkeypatch):
    runs, stage = make_runs(tmp_path)
    real, ledger = keep._copy, stage.parents[1] / "ledger.jsonl"

    def slow(path, target):
        ledger.write_text("one\ntwo\n")
        real(path, target)

    monkeypatch.setattr(keep, "_copy", slow)
    keep_once(runs, tmp_path / "drive")
    assert (tmp_path / "drive" / ledger.relative_to(runs)).read_text() == "one\n"
    monkeypatch.setattr(keep, "_copy", real)
    keep_once(runs, tmp_path / "drive")
    assert (tmp_path / "drive" / ledger.relative_to(runs)).read_text() == "one\ntwo\n"


def test_a_mount_that_dies_does_not_end_the_keeper(tmp_path, monkeypatch, capsys):
    runs, _ = make_runs(tmp_path)
    rounds = []

    def dies(_runs, _drive):
        rounds.append(1)
        raise OSError(107, "Transport endpoint is not connected", "/drive")

    monkeypatch.setattr(keep, "keep_once", dies)
    monkeypatch.setattr(keep.threading.Event, "wait", lambda _self, _seconds: None)
    keep.main(runs, tmp_path / "drive")
    assert len(rounds) == keep.IDLE_ROUNDS
    assert capsys.readouterr().out.count("Transport endpoint is not connected") == 1


def test_a_file_of_the_drive_that_cannot_be_read_is_told_and_the_others_come_back(tmp_path, monkeypatch):
    runs, stage = make_runs(tmp_path)
    drive, back = tmp_path / "drive", tmp_path / "back"
    keep_once(runs, drive)
    real = keep.shutil.copy2

    def unreadable(path, target):
        if "step-000010" in str(path) and path.name == "w":
            raise OSError(5, "Input/output error", str(path))
        return real(path, target)

    monkeypatch.setattr(keep.shutil, "copy2", unreadable)
    brought, troubles = restore(drive, back)
    assert brought == 6
    [trouble] = troubles
    assert trouble.endswith("step-000010/w: Input/output error")
    assert newest_whole(back / stage.relative_to(runs) / "checkpoints").name == "step-000005", (
        "go on from there"
    )
    monkeypatch.setattr(keep.shutil, "copy2", real)
    assert restore(drive, back) == (1, []), "a second try brings the rest"


def test_a_drive_that_cannot_be_listed_is_told_and_one_without_a_copy_is_no_trouble(tmp_path, monkeypatch):
    assert restore(tmp_path / "nothing yet", tmp_path / "back") == (0, [])

    def dead(path):
        raise OSError(107, "Transport endpoint is not connected", str(path))

    monkeypatch.setattr(keep.os, "scandir", dead)
    assert restore(tmp_path, tmp_path / "back") == (0, [f"{tmp_path}: Transport endpoint is not connected"])


def test_restore_tells_its_troubles_and_ends_well_so_that_the_night_goes_on(tmp_path, capsys):
    (tmp_path / "drive").write_text("a file where a folder should be")
    keep_command(tmp_path / "drive", tmp_path / "back", back=True)
    told = capsys.readouterr()
    assert "0 files brought back" in told.out
    assert "Not a directory" in told.err
