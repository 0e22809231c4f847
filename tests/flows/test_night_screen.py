"""The screen of `nightshift watch`: it fits the terminal, says what matters, and draws the loss as it is."""

import io
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from flows.cli.night_screen import BARS, night_screen, sparkline
from tasks.night_status import NightStatus, StageStatus

START = datetime(2026, 11, 25, 22, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Berlin")


def at(hours):
    return (START + timedelta(hours=hours)).isoformat()


def a_night():
    stages = [
        StageStatus("setup", "Set-up and data", at(0), at(0.5), start=at(0), end=at(0.4), ending="FINISHED"),
        StageStatus(
            "train", "Fusion training", at(0.5), at(6.5), start=at(0.4), deadline=at(6.5), restarts=2, phase="train",
            samples=30, total=100, values={"loss": 0.0123, "val_ndcg_at_10": 0.81},
        ),
        StageStatus("evaluate", "Evaluation", at(6.5), at(8)),
    ]  # fmt: skip
    night = NightStatus("fusion", "Multimodal fusion", "2026-11-25", "/runs", at(8), 1.0, stages=stages)
    night.gpu = "Tesla T4 (GPU-1)"
    night.gpu_values = {
        "utilisation_pct": 91.0,
        "memory_used_bytes": 4 * 2**30,
        "memory_total_bytes": 16 * 2**30,
    }
    for number in range(40):
        night.note(START + timedelta(minutes=number), f"event {number} " + "with a long tail " * 8)
    return night


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50)])
def test_the_screen_fits_and_says_what_matters(width, height):
    console = Console(width=width, height=height, record=True, file=io.StringIO())
    console.print(night_screen(a_night(), [0.9, 0.5, 0.2], START + timedelta(hours=3), ZONE, width, height))
    lines = console.export_text().rstrip("\n").split("\n")
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for told in (
        "02:00",
        "5:00 h to hand-over",
        "2 restarts",
        "91 % busy",
        "4.0 of 16.0 GiB",
        "0.9 to 0.2",
        "event 39",
    ):
        assert told in text, told
    assert "event 0 " not in text if height == 24 else "event 20 " in text


def test_the_mark_stands_where_the_night_is():
    console = Console(width=80, height=24, record=True, file=io.StringIO())
    console.print(night_screen(a_night(), [], START + timedelta(hours=4), ZONE, 80, 24))
    line = next(line for line in console.export_text().split("\n") if "┃" in line)
    assert line.index("┃") == pytest.approx(40, abs=1)


def test_a_sparkline_has_its_extremes_where_the_values_have_them():
    assert sparkline([1.0, 0.5, 0.0], 10) == BARS[7] + BARS[4] + BARS[0]
    assert sparkline([3.0] * 4, 10) == BARS[0] * 4
    assert sparkline([], 10) == ""
    assert len(sparkline(list(range(1000)), 50)) == 50


def test_a_night_that_is_over_says_its_word():
    night = a_night()
    night.state, night.handed_over_at, night.word = "handed_over", at(7), "NO_GAIN"
    console = Console(width=80, height=24, record=True, file=io.StringIO())
    console.print(night_screen(night, [], START + timedelta(hours=30), ZONE, 80, 24))
    assert "handed over 06:00: NO_GAIN" in console.export_text()
