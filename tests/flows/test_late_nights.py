"""Nights that come late, or from a machine in another zone; `start` behind a password, and on a port that is taken."""

import os
import secrets
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path

import httpx
import pytest

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "tasks"))

from small_night import counting_plan, make_data  # noqa: E402

from flows.cli.schedule import night_parameters  # noqa: E402
from flows.request import load_plan, request_for  # noqa: E402
from flows.server import LOOPBACK, end, free_port, prefect_server  # noqa: E402
from nightshift.states import NightError  # noqa: E402
from schedules.timetable import timetable  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
FLOW = (
    "import sys\nfrom flows.night import night\n"
    "state = night('small', plan=sys.argv[1], data=sys.argv[2], home=sys.argv[3], day=sys.argv[4], return_state=True)\n"
    "print('state:', state.name, '|', state.message)\n"
)


def test_a_machine_that_wakes_after_its_night_skips_it(server, tmp_path):
    plan, data, home = counting_plan(tmp_path, 10), make_data(tmp_path / "data"), tmp_path / "runs"
    done = subprocess.run(
        [sys.executable, "-c", FLOW, str(plan), str(data), str(home), "2026-11-20"],
        env=os.environ | server | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip
    assert "state: Skipped | too late" in done.stdout, done.stdout + done.stderr
    assert not list(home.glob("*/*")), "nothing was begun"


def test_local_is_the_zone_of_the_machine_that_deployed(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    plan, file = load_plan(None)
    told = night_parameters(plan, file, "fusion", None, tmp_path, 1.0)
    assert told["plan"] is None, "a worker has a built-in plan of its own"
    monkeypatch.setenv("TZ", "UTC")
    request = request_for("fusion", told["plan"], None, str(tmp_path), 1.0, "2026-01-10", told["timezone"])
    window = timetable(request.plan, request.night, date(2026, 1, 10)).window
    assert (window.start.hour, window.hand_over.hour) == (4, 12), "23:00 and 07:00 in New York, in UTC"
    named = tmp_path / "named.toml"
    named.write_text(file.read_text().replace('timezone = "local"', 'timezone = "Asia/Shanghai"'))
    assert load_plan(named, told["timezone"])[0].timezone == "Asia/Shanghai", (
        "a zone that the plan names stays"
    )


def served(folder, port, host, **more):
    """Return `start` at work on this address, and the line in which it says so."""
    words = [sys.executable, "-m", "flows.cli.app", "start", "--host", host, "--port", str(port)]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return subprocess.Popen(
        words, cwd=folder, env=bare | {"PYTHONPATH": str(REPOSITORY)} | more, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def test_start_lets_itself_in_where_its_server_has_a_password(tmp_path):
    port, password = free_port(), f"night:{secrets.token_hex(8)}"
    process = served(tmp_path, port, "127.0.0.2", PREFECT_SERVER_API_AUTH_STRING=password)
    names, asked = [], f"http://127.0.0.2:{port}/api/deployments/filter"
    try:
        for _ in range(300):
            assert process.poll() is None, process.stdout.read()
            threading.Event().wait(0.3)
            try:
                answer = httpx.post(asked, json={}, auth=tuple(password.split(":")), timeout=10)
            except httpx.TransportError:
                continue
            names = [one["name"] for one in answer.json()] if answer.is_success else []
            if len(names) == 3:
                break
        assert sorted(names) == ["at-bedtime", "in-the-morning", "nightly"]
        assert httpx.post(asked, json={}, timeout=10).status_code == 401
    finally:
        end(process, 40)


def test_a_port_that_another_server_has_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    port = free_port()
    with prefect_server(tmp_path / "first", port) as url:
        with pytest.raises(NightError, match=f"port {port} of {LOOPBACK}: .* choose another --port"):  # noqa: SIM117
            with prefect_server(tmp_path / "second", port):
                pass
        assert httpx.get(f"{url}/health", timeout=10).is_success
