"""Workers tune together on a real PostgreSQL; the trial of a worker that was killed is proposed again."""

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import optuna
import pytest

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY / "tests" / "flows"), str(REPOSITORY / "tests" / "models")]

from postgres import postgres  # noqa: E402
from test_tune_ranker import environment  # noqa: E402

from models.shared_study import open_study  # noqa: E402
from nightshift.states import NightError  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.world, pytest.mark.timeout(200)]
DEFAULT = {"learning_rate": 0.05, "num_leaves": 31}

WORKER = """
import sys, threading
from models.shared_study import open_study, work
slow, trials = sys.argv[2] == "slow", int(sys.argv[3])
study = open_study("killed", int(sys.argv[4]), {}, sys.argv[1], heartbeat_s=1, silent_s=3)
left = [trials]
def objective(parameters):
    print("begun", flush=True)
    if slow:
        threading.Event().wait(100)
    return parameters["learning_rate"]
def room():
    left[0] -= 1
    return left[0] >= 0
work(study, objective, room)
"""


@pytest.fixture(scope="module")
def database():
    with postgres() as where:
        yield f"postgresql+psycopg://{where}/nights"


def test_a_killed_workers_trial_is_run_again(database):
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    killed = subprocess.Popen(
        [sys.executable, "-c", WORKER, database, "slow", "1", "1"], env=env, stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout.readline() == "begun\n"
    study = optuna.load_study(study_name="killed", storage=database)
    [lost] = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    threading.Event().wait(5)
    subprocess.run(
        [sys.executable, "-c", WORKER, database, "fast", "4", "2"], env=env, check=True, timeout=60
    )
    trials = study.get_trials()
    assert trials[lost.number].state is optuna.trial.TrialState.FAIL
    again = [t for t in trials if t.params == lost.params and t.state is optuna.trial.TrialState.COMPLETE]
    assert len(again) == 1


def test_two_workers_share_one_study(database, tmp_path):
    deadline = (datetime.now(UTC) + timedelta(seconds=25)).isoformat()
    settings = {"trials": 1000, "rounds": 30, "folds": 3, "patience": 1000}
    workers = []
    for number in range(2):
        told = environment(
            tmp_path / f"worker{number}", settings, NIGHT_DEADLINE=deadline, NIGHT_STUDY=database,
            NIGHT_STUDY_NAME="shared", OMP_NUM_THREADS="1",
        )  # fmt: skip
        workers.append(
            subprocess.Popen([sys.executable, "-m", "models.tune_worker"], env=told, cwd=REPOSITORY)
        )
    assert [worker.wait(60) for worker in workers] == [0, 0]
    results = [
        json.loads((tmp_path / f"worker{number}" / "out" / "shared-study.json").read_text())
        for number in range(2)
    ]
    finished = optuna.load_study(study_name="shared", storage=database).get_trials(
        states=(optuna.trial.TrialState.COMPLETE,)
    )
    assert all(result["finished_here"] > 0 for result in results)
    assert len(finished) == sum(result["finished_here"] for result in results)
    assert max(trial.value for trial in finished) == pytest.approx(max(r["best_value"] for r in results))


def test_without_a_database_the_password_is_not_repeated(monkeypatch):
    monkeypatch.delenv("NIGHT_STUDY", raising=False)
    with pytest.raises(NightError, match="set NIGHT_STUDY"):
        open_study("none", 1, DEFAULT)
    with pytest.raises(NightError) as refused:
        open_study("none", 1, DEFAULT, "postgresql+psycopg://me:hunter2@127.0.0.1:9/none")
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
