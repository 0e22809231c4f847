"""Nightwatch, Prefect server, flow and command line killed one after another in one night: it still hands over."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "tasks"))

from open_night import ledger_kinds  # noqa: E402
from small_night import counting_plan, make_data  # noqa: E402

from nightshift.rundir import RunDir  # noqa: E402
from tasks.handoff import read_handoff  # noqa: E402
from tasks.launch import nightwatch_alive  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
FAULTS = "killwatch@23:06,serverdown@23:09,killflow@23:11"


def wait_for(what, seconds):
    pause = threading.Event()
    for _ in range(int(seconds / 0.1)):
        found = what()
        if found:
            return found
        pause.wait(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


def test_all_who_look_after_a_night_may_die(tmp_path):
    plan, data = counting_plan(tmp_path, 10_000), make_data(tmp_path / "data")
    words = ("rehearse", "--plan", str(plan), "--data", str(data), "--speed", "20", "--faults", FAULTS)
    with (tmp_path / "cli.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli.app", *words],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=log, stderr=log, cwd=tmp_path, start_new_session=True,
        )  # fmt: skip

    def all_injected():
        assert process.poll() is None, (tmp_path / "cli.log").read_text()
        found = [
            path for path in tmp_path.glob("runs/*/*/injected.json") if len(json.loads(path.read_text())) == 3
        ]
        return RunDir(found[0].parent) if found else None

    run = wait_for(all_injected, 150)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert read_handoff(run) is None, "it was killed in mid-night"
    assert nightwatch_alive(run)
    wait_for(lambda: not nightwatch_alive(run), 90)
    handoff = read_handoff(run)
    assert handoff.on_time
    assert handoff.endings == {"work": "STOPPED_AT_DEADLINE"}
    assert "revived" in ledger_kinds(run)
    assert "is gone and is started again" in run.flow_log.read_text()
    page = run.report_html.read_text()
    assert all(f"Given to this rehearsal: {name}" in page for name in ("killwatch", "serverdown", "killflow"))
