"""A Prefect server on a real PostgreSQL, with authentication, and a worker of its own: a night fires and survives."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import optuna
import psycopg
import pytest

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY / "tests" / name) for name in ("tasks", "flows", "models")]

from postgres import postgres  # noqa: E402
from small_night import counting_plan, make_data  # noqa: E402
from test_tune_ranker import letor, written  # noqa: E402

from flows.server import LEASES, LOOPBACK, end, free_port, wait_for_health  # noqa: E402
from models.shared_study import open_study  # noqa: E402
from nightshift.rundir import RunDir  # noqa: E402
from nightshift.states import NightError  # noqa: E402
from tasks.handoff import read_handoff  # noqa: E402
from tasks.night_status import read_status  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.world, pytest.mark.timeout(400)]
NIGHT_MIN = 60
"""At speed 60: a minute, in which a server can be killed and come back."""


class Server:
    """A Prefect server on PostgreSQL that can be killed and started again."""

    def __init__(self, folder: Path, database: str):
        self.folder, self.port, self.password = folder, free_port(), secrets.token_hex(8)
        self.api = f"http://{LOOPBACK}:{self.port}/api"
        self.environment = (
            {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
            | {
                "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{database}/nights",
                "PREFECT_SERVER_API_AUTH_STRING": f"night:{self.password}",
                "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                "PREFECT_HOME": str(folder / "server"),
                "PYTHONPATH": str(REPOSITORY),
            }
            | LEASES
        )
        self.client = {
            "PREFECT_API_URL": self.api,
            "PREFECT_API_AUTH_STRING": f"night:{self.password}",
            "PREFECT_HOME": str(folder / "client"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PYTHONPATH": str(REPOSITORY),
        }
        self.start()

    def start(self) -> None:
        words = [
            sys.executable,
            "-m",
            "prefect",
            "server",
            "start",
            "--host",
            LOOPBACK,
            "--port",
            str(self.port),
        ]
        log = self.folder / "server.log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                words, stdout=out, stderr=out, env=self.environment, start_new_session=True
            )
        wait_for_health(self.api, self.process, log)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ask(self, path: str, **body: object) -> list | dict | None:
        answer = httpx.post(f"{self.api}/{path}", json=body, auth=("night", self.password), timeout=20)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def slots(self, deployment: dict) -> int:
        """Return how many runs of this deployment hold a slot."""
        [limit] = [
            one
            for one in self.ask("v2/concurrency_limits/filter")
            if one["id"] == deployment["global_concurrency_limit"]["id"]
        ]
        return limit["active_slots"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with postgres() as database:
        made = Server(tmp_path_factory.mktemp("prefect"), database)
        yield made
        made.kill()


def cli(server, *words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "flows.cli.app", *words],
        env=os.environ | server.client, cwd=cwd, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def plan_starting(folder, begin):
    """Return a small plan whose night begins at this UTC minute and lasts an hour of night time."""
    plan = counting_plan(folder, 350)
    text = plan.read_text().replace("Europe/Berlin", "UTC")
    for old, minutes in (("23:00", 0), ("23:05", 5), ("23:20", NIGHT_MIN)):
        text = text.replace(old, f"{begin + timedelta(minutes=minutes):%H:%M}")
    plan.write_text(text)
    return plan


def wait_until(true, within_s):
    for _ in range(int(within_s / 0.2)):
        found = true()
        if found:
            return found
        threading.Event().wait(0.2)
    raise AssertionError("it did not come about")


def test_without_the_password_nothing_is_answered(server):
    asked = f"{server.api}/flows/filter"
    assert httpx.post(asked, json={}).status_code == 401
    assert httpx.post(asked, json={}, auth=("night", "wrong")).status_code == 401
    assert server.ask("flows/filter") == []


def test_deploy_without_the_password_says_what_to_set(server, tmp_path):
    bare = {name: value for name, value in server.client.items() if name != "PREFECT_API_AUTH_STRING"}
    shown = subprocess.run(
        [sys.executable, "-m", "flows.cli.app", "deploy"],
        env=os.environ | bare, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert shown.returncode == 2
    assert "PREFECT_API_AUTH_STRING" in shown.stderr


def test_a_deployed_night_fires_by_its_schedule_in_a_worker_and_outlives_its_server(server, tmp_path):
    begin = (datetime.now(UTC) + timedelta(seconds=100)).replace(second=0, microsecond=0)
    plan, data = plan_starting(tmp_path, begin), make_data(tmp_path / "data")
    shown = cli(
        server,
        "deploy",
        str(plan),
        "--data",
        str(data),
        "--pool",
        "gpu",
        "--speed",
        "60",
        "--json",
        cwd=tmp_path,
    )
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["paused"] == []
    with (tmp_path / "worker.log").open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "gpu", "--type", "process", "--limit", "3"],
            stdout=log, stderr=log, env=os.environ | server.client, cwd=tmp_path, start_new_session=True,
        )  # fmt: skip
    try:
        found = wait_until(lambda: list(tmp_path.glob("runs/*/small/status.json")), 140)
        run = RunDir(found[0].parent)
        wait_until(lambda: (s := read_status(run.status)) and s.stage("work").samples > 20, 60)
        server.kill()
        threading.Event().wait(3)
        assert read_status(run.status).state == "running"
        server.start()
        holds = json.loads(run.flow_identity.read_text())["flow_run_id"]
        [running] = server.ask("flow_runs/filter", flow_runs={"id": {"any_": [holds]}})
        lease = running["state"]["state_details"]["deployment_concurrency_lease_id"]
        # Prefect's engine asks for this every 225 s, and crashes the run where it is refused.
        server.ask(f"v2/concurrency_limits/leases/{lease}/renew", lease_duration=300)
        wait_until(lambda: read_handoff(run), 120)
        assert read_handoff(run).on_time
        flow_run_id = json.loads(run.flow_identity.read_text())["flow_run_id"]
        wanted = {"id": {"any_": [flow_run_id]}}
        wait_until(
            lambda: server.ask("flow_runs/filter", flow_runs=wanted)[0]["state_type"] == "COMPLETED", 120
        )
        [told] = server.ask("flow_runs/filter", flow_runs=wanted)
        assert datetime.fromisoformat(told["expected_start_time"]) == begin
        assert told["auto_scheduled"]
        assert told["state_name"] == "PAUSE_AND_FIX"
        assert told["work_queue_name"]
        kept = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
        assert not [path for path in kept if server.password.encode() in path.read_bytes()]
    finally:
        end(worker)


def test_what_a_person_paused_stays_paused_when_it_is_deployed_again(server, tmp_path):
    plan = plan_starting(tmp_path, datetime(2026, 11, 26, 23, tzinfo=UTC))
    assert cli(server, "deploy", str(plan), "--pool", "gpu", cwd=tmp_path).returncode == 0
    [night] = [one for one in server.ask("deployments/filter") if one["name"] == "nightly"]
    paused = httpx.post(
        f"{server.api}/deployments/{night['id']}/pause_deployment", auth=("night", server.password)
    )
    paused.raise_for_status()
    shown = cli(server, "deploy", str(plan), "--pool", "gpu", "--json", cwd=tmp_path)
    assert json.loads(shown.stdout)["paused"] == ["night/nightly"]
    [again] = [one for one in server.ask("deployments/filter") if one["name"] == "nightly"]
    assert again["paused"]


RECONCILE = """
import json, sys
from datetime import timedelta
from pathlib import Path
from flows.reconcile import reconcile
from flows.request import load_plan
from flows.serve import NAMES
from nightshift.instant import wall_now
plan, _ = load_plan(Path(sys.argv[1]))
print(json.dumps(reconcile(NAMES, plan, Path("runs"), wall_now() + timedelta(minutes=float(sys.argv[2])))))
"""


def reconciled(server, plan, minutes, cwd):
    done = subprocess.run(
        [sys.executable, "-c", RECONCILE, str(plan), str(minutes)],
        env=os.environ | server.client, cwd=cwd, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_a_slot_that_nobody_holds_is_freed_and_last_weeks_night_is_skipped(server, tmp_path):
    plan = plan_starting(tmp_path, datetime(2026, 11, 26, 23, tzinfo=UTC))
    assert cli(server, "deploy", str(plan), "--pool", "gpu", cwd=tmp_path).returncode == 0
    [night] = [one for one in server.ask("deployments/filter") if one["name"] == "nightly"]
    make = f"deployments/{night['id']}/create_flow_run"
    long_ago = (datetime.now(UTC) - timedelta(days=7)).isoformat()
    late = server.ask(make, state={"type": "SCHEDULED", "state_details": {"scheduled_time": long_ago}})["id"]
    told = reconciled(server, plan, 1, tmp_path)
    assert len(told) == 1
    assert "too late" in told[0]
    stuck = server.ask(make)["id"]
    server.ask(f"flow_runs/{stuck}/set_state", state={"type": "PENDING"})
    assert server.slots(night) == 1
    elsewhere = server.ask(make, state={"type": "PENDING"})["id"]
    running = f"flow_runs/{elsewhere}/set_state"
    server.ask(running, state={"type": "RUNNING"}, force=True)
    assert reconciled(server, plan, 1, tmp_path) == []
    assert len(reconciled(server, plan, 11, tmp_path)) == 1
    states = {
        one["id"]: (one["state_type"], one["state_name"])
        for one in server.ask("flow_runs/filter", flow_runs={"id": {"any_": [stuck, late, elsewhere]}})
    }
    other_machines = ("RUNNING", "Running")
    assert states == {
        stuck: ("CRASHED", "Crashed"),
        late: ("CANCELLED", "Skipped"),
        elsewhere: other_machines,
    }
    assert server.slots(night) == 0
    assert reconciled(server, plan, 11, tmp_path) == []


def test_deploying_ends_what_a_dead_machine_left_and_says_what_it_replaces(server, tmp_path):
    plan = plan_starting(tmp_path, datetime(2026, 11, 26, 23, tzinfo=UTC))
    assert cli(server, "deploy", str(plan), "--pool", "gpu", cwd=tmp_path).returncode == 0
    [night] = [one for one in server.ask("deployments/filter") if one["name"] == "nightly"]
    held = server.slots(night)
    dead = server.ask(f"deployments/{night['id']}/create_flow_run")["id"]
    for state in ("PENDING", "RUNNING"):
        server.ask(f"flow_runs/{dead}/set_state", state={"type": state})
    database = server.environment["PREFECT_API_DATABASE_CONNECTION_URL"].replace("+asyncpg", "")
    with psycopg.connect(database, autocommit=True) as connection:
        aged = "UPDATE flow_run_state SET timestamp = timestamp - interval '9 hours' WHERE flow_run_id = %s"
        connection.execute(aged, [dead])
    assert server.slots(night) == held + 1
    run = RunDir.create(tmp_path / "runs", "2026-11-26", "small")
    gone = {"pid": 1, "start_ticks": 1, "boot_id": "before the power cut"}
    run.flow_identity.write_text(json.dumps({"flow_run_id": dead, "process": gone}))
    shown = cli(server, "deploy", str(plan), "--pool", "gpu", "--out", "elsewhere", "--json", cwd=tmp_path)
    told = json.loads(shown.stdout)["told"]
    assert told == [f"night/nightly: home was {tmp_path / 'runs'}, is now {tmp_path / 'elsewhere'}"]
    assert server.slots(night) == held + 1, "another folder's night is left alone"
    shown = cli(server, "deploy", str(plan), "--pool", "gpu", "--json", cwd=tmp_path)
    told = json.loads(shown.stdout)["told"]
    assert any("no process behind it" in sentence for sentence in told), told
    assert server.slots(night) == held


def test_prefect_workers_tune_along_on_one_study(server, tmp_path):
    plan, data = counting_plan(tmp_path, 10), tmp_path / "letor"
    data.mkdir()
    for split, count, seed in (("train", 40, 0), ("vali", 12, 1), ("test", 12, 2)):
        written(data / f"{split}.txt", letor(count, seed=seed))
    shown = cli(server, "deploy", str(plan), "--pool", "gpu", "--json", cwd=tmp_path)
    assert "tuner/on-demand" in json.loads(shown.stdout)["deployments"], shown.stderr
    pool = json.loads(shown.stdout)["pool_of_tuners"]
    assert pool != "gpu", "who only tunes along is not given the night"
    prefects = server.environment["PREFECT_API_DATABASE_CONNECTION_URL"].replace("+asyncpg", "")
    with psycopg.connect(prefects, autocommit=True) as connection:
        connection.execute("CREATE DATABASE studies")
    with pytest.raises(NightError, match="another program's tables"):
        open_study("along", 1, {}, prefects.replace("postgresql:", "postgresql+psycopg:"))
    database = prefects.replace("postgresql:", "postgresql+psycopg:").replace("/nights", "/studies")
    told = os.environ | server.client | {"NIGHT_STUDY": database}
    workers = []
    with (tmp_path / "worker.log").open("ab") as log:
        for name in ("one", "two"):
            words = ["worker", "start", "--pool", pool, "--type", "process", "--limit", "1", "--name", name]
            workers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "prefect", *words], stdout=log, stderr=log, env=told, cwd=tmp_path,
                    start_new_session=True,
                )
            )  # fmt: skip
    try:
        asked = {
            "study": "along",
            "data": str(data),
            "home": str(tmp_path / "runs"),
            "hours": 0.01,
            "trials": 4,
        }
        [deployment] = [one for one in server.ask("deployments/filter") if one["name"] == "on-demand"]
        words = [word for name, value in asked.items() for word in ("-p", f"{name}={value}")]
        for _ in range(2):
            subprocess.run(
                [sys.executable, "-m", "prefect", "deployment", "run", "tuner/on-demand", *words],
                env=told, cwd=tmp_path, check=True, timeout=60, capture_output=True,
            )  # fmt: skip
        wanted = {"deployment_id": {"any_": [deployment["id"]]}}

        def ended():
            runs = server.ask("flow_runs/filter", flow_runs=wanted)
            return runs if len(runs) == 2 and all(run["end_time"] for run in runs) else None

        runs = wait_until(ended, 150)
        assert [run["state_type"] for run in runs] == ["COMPLETED"] * 2, [
            run["state"]["message"] for run in runs
        ]
    finally:
        for worker in workers:
            end(worker)
    results = [json.loads(path.read_text()) for path in tmp_path.glob("runs/.tuners/*/out/shared-study.json")]
    assert all(result["finished_here"] > 0 for result in results)
    study = optuna.load_study(study_name="along", storage=database)
    complete = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    assert len(complete) == sum(result["finished_here"] for result in results)
