"""The command line: one JSON document on stdout, one clear line and exit code 2 on bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def nightshift(*words, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "flows.cli.app", *words],
        capture_output=True, text=True, cwd=cwd, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TZ": "Europe/Berlin", **environment},
    )  # fmt: skip


def test_plan_prints_dates_local_times_and_utc(tmp_path):
    shown = nightshift("plan", "--date", "2026-03-28", cwd=tmp_path)
    assert shown.returncode == 0
    for text in (
        "23:30-05:30",
        "22:30-03:30",
        "the clocks change: this night has 7 h",
        "elastic",
        "Sat 28 Mar 2026 23:00",
        "+0.05",
    ):
        assert text in shown.stdout
    document = json.loads(nightshift("plan", "--date", "2026-10-24", "--json", cwd=tmp_path).stdout)
    assert [night["hours"] for night in document["nights"]] == [9, 8, 8]
    assert document["nights"][0]["stages"][1]["minutes"] == 420


def test_local_time_on_a_machine_set_to_utc_is_warned_of(tmp_path):
    shown = nightshift("plan", "--json", cwd=tmp_path, TZ="UTC")
    assert "zone is UTC" in shown.stderr
    json.loads(shown.stdout)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["plan", "absent.toml"], "cannot be read"),
        (["plan", "--date", "tomorrow"], "--date 'tomorrow' is not a date"),
        (["check", "absent"], "there is no such file or folder"),
        (["rehearse", "fussion"], "there are: fusion, ltr, candidates"),
        (["rehearse", "fusion", "--data", "absent"], "there is no such file or folder"),
        (["rehearse", "fusion", "--speed", "1"], "nightshift run"),
        (["rehearse", "fusion", "--speed", "50000"], "use --speed"),
        (["judge", "absent"], "there is no such folder"),
        (["report", "."], "no readable seal"),
        (["stop"], "holds no night yet"),
        (["watch", "--once"], "holds no night yet"),
        (["start", "--speed", "60"], "add --once"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, words, says):
    shown = nightshift(*words, cwd=tmp_path)
    assert shown.returncode == 2, shown.stderr
    assert says in shown.stderr
    assert "Traceback" not in shown.stderr
    assert shown.stdout == ""
    line = [text for text in shown.stderr.splitlines() if text.startswith("nightshift: ")]
    assert len(line) == 1


def test_check_names_what_is_wrong_and_shows_it_right(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for split in ("train", "val", "test"):
        (folder / f"{split}.jsonl").write_text('{"query_id": "q"}\n')
    shown = nightshift("check", str(folder), cwd=tmp_path)
    assert shown.returncode == 2
    assert "train.jsonl:1" in shown.stdout
    assert '"candidates"' in shown.stdout
    document = json.loads(nightshift("check", str(folder), "--json", cwd=tmp_path).stdout)
    assert document["usable"] is False
    assert document["counts"] == {"missing_key": 3}


def test_check_of_the_catalogue_prints_what_is_known(tmp_path):
    document = json.loads(nightshift("check", "--json", cwd=tmp_path).stdout)
    assert document["facts"]["best_ndcg_all"] == 1.0
    assert document["summary"]["test"]["queries"] == 500


def test_doctor_knows_the_pins(tmp_path):
    document = json.loads(nightshift("doctor", "--quick", "--json", cwd=tmp_path).stdout)
    states = {check["name"]: check["state"] for check in document["checks"]}
    assert states["fastapi"] == states["sqlalchemy"] == "ok"
    assert {"clocks", "gpu", "disk"} <= set(states)
