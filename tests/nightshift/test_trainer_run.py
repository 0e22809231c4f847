"""The trainer's side of the contract where things go wrong: a refused save, a refused line, a fault from inside."""

import errno
import json
import resource
import time
from datetime import timedelta

import pytest

from nightshift.checkpoint import newest_whole, read_state, write_atomically, write_checkpoint
from nightshift.events import read_events
from nightshift.instant import RehearsalTime, boottime_s, wall_now
from nightshift.rundir import StageDir
from nightshift.states import TrainerExit
from nightshift.trainer_run import BEAT_EVERY_S, LOOK_EVERY_S, STOP_ASKED, TrainerRun


def run_in(folder, rehearsal=None, sink=None):
    folder.mkdir(exist_ok=True)
    return TrainerRun(
        folder=StageDir(folder), seed=1, nonce="n", device="cpu", resume=None, microbatch=None, rehearsal=rehearsal,
        deadline=None, second_sink=sink,
    )  # fmt: skip


def kinds(run):
    return [event.kind for event in read_events(run.folder.events)[0]]


def weights(folder):
    (folder / "w").write_text("weights")


def test_a_save_that_its_folder_refuses_goes_to_the_second_sink(tmp_path):
    run = run_in(tmp_path / "stage", sink=tmp_path / "sink")
    run.folder.checkpoints.write_text("a file where the folder should be")
    path = run.save(3, weights)
    assert path == tmp_path / "sink" / "step-000003"
    assert newest_whole(tmp_path / "sink") == path
    assert kinds(run) == ["checkpoint-failed", "checkpoint"]


def test_a_save_that_is_refused_everywhere_never_stops_the_training(tmp_path):
    run = run_in(tmp_path / "stage")
    run.folder.checkpoints.write_text("a file where the folder should be")
    assert not run.save(3, weights).exists()
    assert kinds(run) == ["checkpoint-failed"]


@pytest.fixture
def small_files_only():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_library_that_names_a_full_disk_by_an_error_of_its_own_is_understood(tmp_path, small_files_only):
    def full(folder):
        raise RuntimeError("SafetensorError: the library's own words")

    with pytest.raises(OSError, match="the library's own words"):
        write_checkpoint(tmp_path, 1, full, {}, "n")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_writer_itself_is_not_called_a_full_disk(tmp_path):
    def wrong(folder):
        raise KeyError("weights")

    with pytest.raises(KeyError):
        run_in(tmp_path / "stage").save(1, wrong)


def test_a_line_that_the_disk_refuses_never_stops_the_training(tmp_path, monkeypatch, capsys):
    run = run_in(tmp_path / "stage")

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("nightshift.events.append_line", refuse)
    run.progress(1, 1, 1, 0.5)
    assert "No space left" in capsys.readouterr().err


def test_should_stop_is_a_sign_of_life_but_not_a_flood(tmp_path):
    run = run_in(tmp_path / "stage")
    for _ in range(50):
        run.should_stop()
    assert kinds(run) == ["beat"]
    run.heard_s = boottime_s() - BEAT_EVERY_S
    time.sleep(LOOK_EVERY_S)
    run.should_stop()
    assert kinds(run) == ["beat", "beat"]


@pytest.mark.parametrize(
    ("word", "code"), [("oom", TrainerExit.OUT_OF_MEMORY), ("nan", TrainerExit.NOT_FINITE)]
)
def test_a_rehearsal_gives_its_trainer_a_fault_once(tmp_path, word, code):
    run = run_in(tmp_path / "stage", rehearsal=RehearsalTime(wall_now(), boottime_s(), 60.0))
    run.folder.fault.write_text(word)
    with pytest.raises(SystemExit) as ended:
        run.progress(7, 7, 10, 0.7)
    assert ended.value.code == code
    run.progress(8, 8, 10, 0.8)
    if word == "nan":
        assert [e.step for e in read_events(run.folder.events)[0] if e.nonfinite] == [7]


def test_a_real_night_reads_no_fault(tmp_path):
    run = run_in(tmp_path / "stage")
    run.folder.fault.write_text("oom")
    run.progress(1, 1, 10, 0.1)
    assert run.folder.fault.exists()


def test_a_step_whose_numbers_were_not_finite_is_not_resumed_from(tmp_path):
    for step in (5, 10, 15):
        write_checkpoint(tmp_path, step, weights, {}, "n")
    assert read_state(newest_whole(tmp_path, below=12))["step"] == 10
    assert newest_whole(tmp_path, below=5) is None


def control(run, **fields):
    deadline = (wall_now() + timedelta(hours=1)).isoformat()
    write_atomically(run.folder.control, json.dumps({"deadline": deadline, **fields}))


def test_go_on_holds_for_a_moment_and_then_a_replaced_control_file_is_read(tmp_path):
    run = run_in(tmp_path / "stage")
    control(run)
    assert not run.should_stop()
    control(run, stop=True)
    assert not run.should_stop()
    time.sleep(LOOK_EVERY_S)
    assert run.should_stop()
    assert run.stop_reason == STOP_ASKED


def test_a_larger_reserve_and_a_signal_are_answered_at_once(tmp_path):
    run = run_in(tmp_path / "stage")
    control(run)
    assert not run.should_stop(60)
    assert not run.should_stop(10)
    assert run.should_stop(4000)
    run = run_in(tmp_path / "other")
    assert not run.should_stop()
    run._on_term(15, None)
    assert run.should_stop()
