"""Against a real Prefect server: scheduling, a night at speed 60, the death of the flow, three one-off runs."""

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import sync_playwright

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "tasks"))

from open_night import finished_night  # noqa: E402
from small_night import counting_plan, make_data, shell_plan  # noqa: E402

from flows.server import prefect_server  # noqa: E402
from nightshift.rundir import RunDir  # noqa: E402
from nightshift.states import NightError  # noqa: E402
from tasks.handoff import read_handoff  # noqa: E402
from tasks.night_status import read_status  # noqa: E402
from tasks.stage_standing import read_memory  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def environment(server):
    return {**os.environ, **server, "PYTHONPATH": str(REPOSITORY)}


def command(*words):
    return [sys.executable, "-m", "flows.cli.app", *words]


def test_a_cron_deployment_gets_a_scheduled_run(server):
    trial = subprocess.run(
        [sys.executable, "-m", "flows.scheduling_trial"],
        env=environment(server), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert trial.returncode == 0, trial.stderr[-2000:]
    first = datetime.fromisoformat(trial.stdout.strip().splitlines()[-1])
    assert first > datetime.now(UTC)


def states_of_flow_run(server, run):
    flow_run_id = json.loads(run.flow_identity.read_text())["flow_run_id"]
    script = (
        "import sys, json; from uuid import UUID; from prefect.client.orchestration import get_client\n"
        "with get_client(sync_client=True) as c:\n"
        "    r = c.read_flow_run(UUID(sys.argv[1])); ts = c.read_task_runs()\n"
        "    names = [t.name.rsplit('-', 1)[0] for t in ts if t.flow_run_id == r.id]\n"
        "    print(json.dumps([r.state.name, r.state.type.value, r.name, names]))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script, flow_run_id],
        env=environment(server), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return json.loads(shown.stdout.strip().splitlines()[-1])


def test_a_twenty_minute_night_at_speed_60_through_prefect(server, tmp_path):
    plan, data = shell_plan(tmp_path), make_data(tmp_path / "data")
    shown = subprocess.run(
        command("rehearse", "--plan", str(plan), "--data", str(data), "--speed", "60", "--json"),
        env=environment(server), capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    night = json.loads(shown.stdout)["nights"][0]
    assert night["on_time"] is True
    assert night["word"] == "PAUSE_AND_FIX"
    assert night["stages"][0]["ending"] == "FINISHED"
    run = RunDir(Path(night["run_dir"]))
    name, kind, run_name, tasks = states_of_flow_run(server, run)
    assert (name, kind) == ("PAUSE_AND_FIX", "COMPLETED")
    assert run_name.startswith("small ")
    assert {"Seal and open the night", "Small work", "Judge", "Hand over", "Morning report"} <= set(tasks)


def test_the_night_hands_over_after_its_flow_was_killed(server, tmp_path):
    plan, data = counting_plan(tmp_path, 60), make_data(tmp_path / "data")
    words = ("rehearse", "--plan", str(plan), "--data", str(data), "--speed", "60", "--json")
    process = subprocess.Popen(
        command(*words),
        env=environment(server),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
    )
    run = wait_for_stage(tmp_path)
    os.kill(json.loads(run.flow_identity.read_text())["pid"], signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["nights"][0]["on_time"] is True
    assert read_handoff(run).endings == {"work": "FINISHED"}


def wait_for_stage(folder):
    for _ in range(300):
        for path in folder.glob("runs/*/*/status.json"):
            status = read_status(path)
            if status and status.stages[0].step > 3:
                return RunDir(path.parent)
        threading.Event().wait(0.2)
    raise AssertionError("no stage began")


def test_automations_are_installed_and_replaced_not_doubled(server):
    for expected in ("installed", "replaced"):
        shown = subprocess.run(
            command("automations", "--json"),
            env=environment(server), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert shown.returncode == 0, shown.stderr
        assert {one["state"] for one in json.loads(shown.stdout)["automations"]} == {expected}
    there = httpx.post(f"{server['PREFECT_API_URL']}/automations/filter", json={}).json()
    ours = [one for one in there if one["name"].startswith("nightshift")]
    assert len(ours) == 2
    zombie = next(one for one in ours if "died" in one["name"])
    assert zombie["trigger"]["after"] == ["prefect.flow-run.heartbeat"]
    assert zombie["actions"][0]["state"] == "CRASHED"


def test_automations_without_a_server_say_what_to_do(tmp_path):
    for words, told in (
        ((), "set PREFECT_API_URL"),
        (("--api", "http://127.0.0.1:9/api"), "no Prefect server"),
    ):
        bare = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {
            "PYTHONPATH": str(REPOSITORY)
        }
        shown = subprocess.run(
            command("automations", *words), env=bare, capture_output=True, text=True, timeout=60, check=False
        )
        assert shown.returncode == 2
        assert told in shown.stderr


@pytest.fixture(scope="module")
def night_with_a_kill(server, tmp_path_factory):
    """A night through Prefect whose trainer was killed once, all its events sent."""
    folder = tmp_path_factory.mktemp("killed")
    plan, data = counting_plan(folder, 60), make_data(folder / "data")
    process = subprocess.Popen(
        command("rehearse", "--plan", str(plan), "--data", str(data), "--speed", "60", "--json"),
        env=environment(server), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, text=True,
    )  # fmt: skip
    run = wait_for_stage(folder)
    os.kill(read_memory(run.stage("work")).running.pid, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return run, json.loads(out)["nights"][0]


def events_named(server, name):
    url = f"{server['PREFECT_API_URL']}/events/filter"
    for _ in range(40):
        found = httpx.post(url, json={"filter": {"event": {"name": [name]}}}).json()["events"]
        if found:
            return found
        threading.Event().wait(0.5)
    return []


def test_a_night_puts_its_restart_and_its_verdict_into_prefects_feed(server, night_with_a_kill):
    _, night = night_with_a_kill
    [restart] = events_named(server, "nightshift.stage.restarted")
    assert restart["payload"] == {"stage": "Small work", "restarts": 1}
    assert restart["resource"]["prefect.resource.name"] == "small"
    words = [event["payload"]["word"] for event in events_named(server, "nightshift.verdict")]
    assert night["word"] in words


def test_table_and_page_of_the_night_stand_in_the_ui_once_and_end_with_its_word(server, night_with_a_kill):
    run, night = night_with_a_kill
    flow_run_id = json.loads(run.flow_identity.read_text())["flow_run_id"]
    wanted = {"flow_runs": {"id": {"any_": [flow_run_id]}}}
    found = httpx.post(f"{server['PREFECT_API_URL']}/artifacts/filter", json=wanted).json()
    [page] = [one for one in found if one["key"] == "small-now"]
    assert page["data"].startswith(f"# {night['word']}")
    assert str(run.report_html) in page["data"]
    [table] = [one for one in found if one["key"] == "small-stages"]
    [row] = json.loads(table["data"])
    assert (row["stage"], row["state"], row["restarts"]) == ("Small work", "finished", "1")
    [bar] = [one for one in found if one["key"].endswith("-work-progress")]
    assert bar["data"] == 100.0


def test_the_prefect_ui_and_the_report_show_the_word(server, night_with_a_kill, chromium):
    run, night = night_with_a_kill
    flow_run_id = json.loads(run.flow_identity.read_text())["flow_run_id"]
    ui = server["PREFECT_API_URL"].removesuffix("/api")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{ui}/runs/flow-run/{flow_run_id}")
        page.get_by_text(night["word"], exact=False).first.wait_for(timeout=30_000)
        page.goto(f"{ui}/artifacts")
        page.get_by_text("small-criteria").first.wait_for(timeout=30_000)
        page.goto(run.report_html.as_uri())
        assert page.locator("html").get_attribute("data-word") == night["word"]
        browser.close()


@pytest.mark.world
def test_start_fires_night_bedtime_and_morning_by_itself(tmp_path):
    begin = (datetime.now(UTC) + timedelta(seconds=95)).replace(second=0, microsecond=0)
    begin += timedelta(minutes=1) if begin - datetime.now(UTC) < timedelta(seconds=45) else timedelta()
    plan, data = counting_plan(tmp_path, 400), make_data(tmp_path / "data")  # alive until its deadline
    text = plan.read_text().replace("Europe/Berlin", "UTC")
    for old, minutes in (("23:00", 0), ("23:05", 12), ("23:20", 20)):
        text = text.replace(old, f"{begin + timedelta(minutes=minutes):%H:%M}")
    plan.write_text(text)
    shown = subprocess.run(
        command("start", str(plan), "--data", str(data), "--once", "--speed", "60", "--port", "0", "--json"),
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    states = json.loads(shown.stdout)["states"]
    assert states == {"night": "PAUSE_AND_FIX", "bedtime": "SLEEP", "morning": "PAUSE_AND_FIX"}
    run = RunDir(next(tmp_path.glob("runs/*/small")))
    assert read_handoff(run).on_time
    assert json.loads(run.bedtime.read_text())["alive"] is True


def test_bedtime_and_morning_do_not_take_an_older_night_for_tonights(server, tmp_path):
    with finished_night(tmp_path, counting_plan(tmp_path, 5)) as night:
        seal = json.loads(night.run.seal.read_text())
        seal["speed"] = 1.0  # a real night, of last March, and another one still owed
        [owed] = seal["plan"]["nights"]
        seal["plan"]["nights"] = [owed, owed | {"name": "owed"}]
        night.run.seal.write_text(json.dumps(seal))
        script = (
            "import sys\nfrom flows.bedtime import bedtime\nfrom flows.morning import morning\n"
            "for flow in (bedtime, morning):\n    print('state:', flow(home=sys.argv[1], return_state=True).name)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "runs")], env=environment(server), capture_output=True,
            text=True, timeout=100, check=False,
        )  # fmt: skip
        told = [line for line in done.stdout.splitlines() if line.startswith("state:")]
        assert told == ["state: ACT", "state: Never started"], done.stdout + done.stderr
        shown = subprocess.run(
            command("morning", "--out", str(tmp_path / "runs")), env=environment(server), capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "none has begun since" in shown.stderr


def test_a_server_answers_where_it_was_told_to_listen(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with (
        pytest.raises(NightError, match="opens the Prefect server"),
        prefect_server(tmp_path, host="127.0.0.2"),
    ):
        pass
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "night:password")
    with prefect_server(tmp_path, host="127.0.0.2") as url:
        assert url.startswith("http://127.0.0.2:")
        assert httpx.post(f"{url}/flows/filter", json={}, timeout=20).status_code == 401
        told = httpx.get(f"{url.removesuffix('/api')}/ui-settings", timeout=20)
        assert told.json()["api_url"] == "/api", (
            "from another machine the page asks the machine that it came from"
        )
