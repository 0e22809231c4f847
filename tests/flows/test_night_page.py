"""The page of a running night in the Prefect UI: what stands in it, and a server that does not answer."""

import logging
from zoneinfo import ZoneInfo

import httpx
import pytest

from flows.night_page import NightPage, night_markdown, stage_row
from nightshift.rundir import RunDir
from tasks.night_status import NightStatus, Note, StageStatus

ZONE = ZoneInfo("Europe/Berlin")


@pytest.fixture
def status():
    stage = StageStatus(
        "train", "Training", "2026-11-25T22:30:00+00:00", "2026-11-26T04:30:00+00:00",
        start="2026-11-25T22:31:00+00:00", phase="train", samples=25, total=100, share=0.1, restarts=2,
        values={"loss": 0.123456, "epoch": 3.0},
    )  # fmt: skip
    return NightStatus(
        "fusion", "Night 1", "2026-11-25", "/runs/fusion", "2026-11-26T06:00:00+00:00", 1.0,
        now="2026-11-25T22:45:00+00:00", gpu="Tesla T4", gpu_values={"utilisation_pct": 92.0}, stages=[stage],
        notes=[Note("2026-11-25T22:40:00+00:00", "a <script>alert(1)</script> | *crash*")],
    )  # fmt: skip


def test_a_row_says_when_how_far_and_what_was_measured(status):
    assert stage_row(status.stages[0], ZONE) == {
        "stage": "Training",
        "from": "23:31",
        "to": "05:30",
        "done": "25%",
        "state": "train",
        "restarts": "2",
        "last values": "loss 0.123",
    }


def test_the_page_says_how_long_and_shows_notes_as_text(status, tmp_path):
    text = night_markdown(status, ZONE, RunDir(tmp_path), "https://wandb.ai/x/y")
    assert text.startswith("# Night 1: 7:15 h to hand-over")
    assert "23:45, hand-over 07:00" in text
    assert "GPU: Tesla T4 (92 % busy)" in text
    assert "23:40 a \\<script\\>alert(1)\\</script\\> \\| \\*crash\\*" in text
    assert "https://wandb.ai/x/y" in text
    status.word, status.sentence = "GO", "It ranks better."
    assert night_markdown(status, ZONE, RunDir(tmp_path), "").startswith("# GO\n\nIt ranks better.")


def test_a_server_that_does_not_answer_costs_the_page_not_the_night(status, tmp_path, monkeypatch, caplog):
    def refuse(*_args, **_kwargs):
        raise httpx.ConnectError("refused")

    monkeypatch.setattr("flows.night_page.create_table_artifact", refuse)
    monkeypatch.setattr("flows.night_page.get_run_logger", lambda: logging.getLogger("night"))
    page = NightPage(RunDir(tmp_path), "Europe/Berlin")
    page.show(status)
    assert "could not be told" in caplog.text
    assert page.table is None
