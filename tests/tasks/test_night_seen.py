"""Signs of trouble in a night's status: a stage that ended badly, was not started, or cannot be started any more."""

from dataclasses import replace
from datetime import timedelta

import pytest
from open_night import finished_night
from small_night import counting_plan

from nightshift.states import Ending
from tasks.forecast_model import ACT, word_for
from tasks.night_seen import night_signs
from tasks.night_status import StageStatus, read_status
from verdict.seal import read_seal


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signs")
    with finished_night(folder, counting_plan(folder, 10)) as night:
        yield night


def signs(night, minutes, **stage):
    """Return the signs of a night whose one stage stands like this, so many minutes after its start."""
    seal = read_seal(night.run)
    status = read_status(night.run.status)
    begun = StageStatus.planned(seal.timetable().slots[0])
    open_status = replace(status, handed_over_at="", word="", stages=[replace(begun, **stage)])
    return night_signs(
        night.run, seal, open_status, seal.window.start + timedelta(minutes=minutes), alive=True
    )


def test_a_stage_that_still_fits_is_no_trouble(finished):
    assert signs(finished, 1).broken == ""


def test_a_stage_that_cannot_be_started_any_more_is_told(finished):
    told = signs(finished, 19)
    assert "Small work will not be started: 0 min were left, its minimum is" in told.broken
    assert word_for(told)[0] == ACT


@pytest.mark.parametrize(
    ("ending", "notes", "words"),
    [
        (Ending.CRASHED, [], "ended as CRASHED: read stages/work/output.log"),
        (Ending.NOT_STARTED, ["not started: halted: a leak"], "not started: halted: a leak"),
        (Ending.FINISHED, [], ""),
    ],
)
def test_a_stage_that_ended_is_told_where_it_ended_badly(finished, ending, notes, words):
    start = read_seal(finished.run).window.start.isoformat()
    told = signs(finished, 5, start=start, end=start, ending=ending, notes=notes).broken
    assert words in told
    assert bool(told) == bool(words)
