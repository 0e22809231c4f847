"""Every second of the window in exactly one class."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.events import append_line
from nightshift.rundir import RunDir
from tasks.night_seconds import Seconds, Spent, largest_avoidable, read_seconds, totals
from tasks.report_seconds import avoidable_sentence, spoken
from verdict.ledger import Entry

START = datetime(2026, 11, 25, 22, tzinfo=UTC)


def at(minutes):
    return START + timedelta(minutes=minutes)


def entry(kind, minutes, **facts):
    return Entry(0, at(minutes).isoformat(), kind, "", "", facts, "")


@pytest.fixture
def night(tmp_path):
    """A night of 100 minutes: set-up, a training with a crash at 40 and a hang at 60, judge, hand-over at 90."""
    run = RunDir(tmp_path)

    def say(stage, kind, minutes, **fields):
        run.stage(stage).path.mkdir(parents=True, exist_ok=True)
        append_line(run.stage(stage).events, {"kind": kind, "at": at(minutes).isoformat(), **fields})

    say("setup", "started", 1)
    say("setup", "phase", 2, name="load")
    say("train", "started", 12)
    say("train", "phase", 13, name="load")
    say("train", "phase", 15, name="train")
    say("train", "checkpoint", 30)
    say("train", "progress", 40)
    say("train", "started", 43)
    say("train", "phase", 43, name="train")
    say("train", "progress", 50)
    say("train", "started", 62)
    say("train", "phase", 62, name="train")
    say("train", "checkpoint", 80)
    say("train", "finished", 80, reason="deadline")
    attempts = [
        {"start": at(11).isoformat(), "end": at(41).isoformat(), "fault": "crash"},
        {"start": at(42).isoformat(), "end": at(60).isoformat(), "fault": "hang"},
        {"start": at(61).isoformat(), "end": at(80).isoformat(), "fault": ""},
    ]
    run.stage("train").exit.write_text(json.dumps({"attempts": attempts}))
    entries = [
        entry("trainer-started", 0, stage="setup"),
        entry("stage-ended", 10, stage="setup"),
        entry("trainer-started", 11, stage="train"),
        entry("trainer-started", 42, stage="train"),
        entry("trainer-started", 61, stage="train"),
        entry("stage-ended", 80, stage="train"),
        entry("judge-started", 81),
        entry("judged", 88),
        entry("handed-over", 90),
    ]
    return run, entries


def test_a_night_with_a_crash_and_a_hang_closes_to_the_second(night):
    run, entries = night
    sums = totals(read_seconds(run, ["setup", "train"], START, at(100), entries).pieces())
    minutes = {str(spent): seconds / 60 for spent, seconds in sums.items()}
    assert sum(sums.values()) == 6000
    assert minutes == pytest.approx(
        {
            "set-up": 9, "start": 2, "load": 3, "train": 33, "restart": 5, "lost work": 17, "hang": 10,
            "wait": 2, "judge": 7, "hand-over": 2, "idle": 10,
        }
    )  # fmt: skip
    assert avoidable_sentence(sums).startswith("Largest avoidable loss: lost work, 17 min; save more often")


def test_nothing_recorded_is_one_long_wait(tmp_path):
    pieces = read_seconds(RunDir(tmp_path), ["train"], START, at(60), []).pieces()
    assert [(spent, (end - begin).total_seconds()) for begin, end, spent in pieces] == [(Spent.WAIT, 3600)]


def test_useful_time_is_no_loss():
    assert largest_avoidable({Spent.TRAIN: 9000.0, Spent.JUDGE: 60.0}) is None
    assert avoidable_sentence({Spent.TRAIN: 9000.0}) == "Nothing of the night was lost."


@given(
    st.lists(st.tuples(st.integers(-50, 600), st.sampled_from(list(Spent)))),
    st.lists(st.tuples(st.integers(-50, 600), st.integers(0, 300), st.sampled_from(list(Spent)))),
)
def test_whatever_is_marked_or_painted_the_window_is_covered_once(marks, paints):
    seconds = Seconds(START, at(500))
    for minutes, spent in marks:
        seconds.mark(at(minutes), spent)
    for minutes, length, spent in paints:
        seconds.paint(at(minutes), at(minutes + length), spent)
    pieces = seconds.pieces()
    assert pieces[0][0] == START
    assert pieces[-1][1] == at(500)
    assert all(left[1] == right[0] for left, right in pairwise(pieces))
    assert sum(totals(pieces).values()) == pytest.approx(500 * 60)


@pytest.mark.parametrize(("seconds", "words"), [(12, "12 s"), (600, "10 min"), (7260, "2 h 01 min")])
def test_lengths_of_time_are_readable(seconds, words):
    assert spoken(seconds) == words
