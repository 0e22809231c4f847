"""What the GPU's figures come to in a word, and how much of its work was of use."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from nightshift.events import parse_event
from tasks.gpu_words import mfu, words
from tasks.night_seconds import Spent
from verdict.utilisation import Utilisation

START = datetime(2026, 11, 25, 23, tzinfo=UTC)
BUSY, IDLE = Utilisation(95.0, 96.0, 0.99, 100), Utilisation(40.0, 41.0, 0.99, 100)
TRAIN = {Spent.TRAIN: 100.0}


def event(kind, second, **values):
    at = (START + timedelta(seconds=second)).isoformat()
    return parse_event(json.dumps({"kind": kind, "at": at, **values}).encode())


@pytest.mark.parametrize(
    ("use", "gap_s", "spent", "share", "told"),
    [
        (BUSY, 5, TRAIN, 0.4, ""),
        (BUSY, 5, TRAIN, 0.02, "BUSY_BUT_SLOW: 2.0% of its measured ceiling used"),
        (BUSY, 5, TRAIN, None, ""),
        (IDLE, 5, TRAIN, 0.02, ""),
        (IDLE, 30, TRAIN, None, "STALLED: 30% of the time in idle stretches"),
        (
            IDLE,
            30,
            {Spent.TRAIN: 60.0, Spent.LOAD: 40.0},
            None,
            "STARVED: 40% of the time went into loading; STALLED: 30% of the time in idle stretches",
        ),
    ],
)
def test_the_words_hold_where_their_figures_do(use, gap_s, spent, share, told):
    assert words(use, [(START, gap_s)], 100.0, spent, share) == told


def test_busy_with_few_processors_is_slow():
    use = Utilisation(95.0, 96.0, 0.99, 100, sm_pct=20.0)
    assert words(use, [], 100.0, TRAIN, 0.9) == "BUSY_BUT_SLOW: 20 % of its processors active"


def test_the_used_share_of_the_ceiling_is_samples_times_their_cost():
    events = [
        event("device", 0, values={"flops_per_sample": 5e9, "ceiling_flops_per_s": 1e12}),
        event("progress", 10, step=1, samples=1000),
        event("progress", 50, step=2, samples=4000),
    ]
    assert mfu(events, span_s=100.0) == pytest.approx(0.2)
    assert mfu(events[1:], span_s=100.0) is None
    assert mfu(events, span_s=0.0) is None
