"""The Colab notebook, run as it stands with a folder for the Drive: its runtime is lost once in the middle."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "tasks"))

from small_night import COUNTING_TRAINER, PLAN, make_data, make_plan  # noqa: E402

from nightshift.events import read_events  # noqa: E402
from nightshift.rundir import RunDir  # noqa: E402
from tasks.handoff import read_handoff  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.world, pytest.mark.timeout(290)]
NOTEBOOK = REPOSITORY / "notebooks" / "nightshift_colab.ipynb"


def as_repository(folder: Path) -> None:
    """Commit a folder's files."""
    me = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    for words in (["init", "--quiet"], ["add", "."], [*me, "commit", "--quiet", "--message", "data"]):
        subprocess.run(["git", *words], cwd=folder, check=True)


@pytest.fixture(params=["drive", "git", "builtin"])
def colab(request, tmp_path, monkeypatch):
    """A Drive with an hour's plan, data on it, in a repository or built in, and a runtime's disk that can be lost."""
    drive, local = tmp_path / "drive", tmp_path / "local"
    drive.mkdir()
    data = tmp_path / "repository" if request.param == "git" else drive / "data"
    make_data(data)
    if request.param == "git":
        as_repository(data)
    (drive / "count.py").write_text(COUNTING_TRAINER)
    text = PLAN.replace("23:20", "00:00")
    # 50 s of work: the keeper's second round, after 30 s, finds it under way
    plan = make_plan(drive, sys.executable, "count.py", "500", text=text)
    for name, value in {
        "NIGHT_NAME": "small",
        "NIGHT_PLAN": str(plan),
        "NIGHT_SOURCE": request.param,
        "NIGHT_DATA_GIT": str(data),
        "NIGHT_SPEED": "60",
        "NIGHT_DRIVE": str(drive),
        "NIGHT_LOCAL": str(local),
        "PYTHONPATH": str(REPOSITORY),
    }.items():
        monkeypatch.setenv(name, value)
    return drive, local


def run_notebook():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=200, kernel_name="python3")
    client.execute()
    return notebook


def environ_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def lose_the_runtime(local: Path) -> None:
    """Kill everything that this runtime has started and remove its disk, as the end of a Colab runtime does."""
    mark = str(local).encode()  # a trainer is told of its run's folder only
    pause = threading.Event()
    for _ in range(50):  # what is killed last may have started one more
        alive = [
            pid
            for pid in (int(path.name) for path in Path("/proc").glob("[0-9]*"))
            if mark in environ_of(pid)
        ]
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not alive:
            break
        pause.wait(0.1)
    shutil.rmtree(local)


def test_a_night_outlives_its_runtime(colab):
    drive, local = colab
    failed = []

    def first_visit():
        try:
            run_notebook()
        except (CellExecutionError, DeadKernelError, OSError) as error:
            failed.append(error)

    visit = threading.Thread(target=first_visit, daemon=True)
    visit.start()
    pause = threading.Event()
    for _ in range(600):
        if list(drive.glob("runs/*/small/stages/work/checkpoints/step-*/manifest.json")):
            break
        pause.wait(0.2)
    lose_the_runtime(local)
    told = run_notebook()
    [run] = [RunDir(path.parent) for path in local.glob("runs/*/small/seal.json")]
    assert read_handoff(run).on_time
    assert read_handoff(run).word != "STOP", "what was sealed of the data is there again"
    events = read_events(run.stage("work").events)[0]
    starts = [number for number, event in enumerate(events) if event.kind == "started"]
    assert len(starts) >= 2
    assert next(event.step for event in events[starts[-1] :] if event.kind == "progress") > 1
    kept = RunDir(drive / run.path.relative_to(local))
    assert read_handoff(kept).nonce == read_handoff(run).nonce
    shown = "\n".join(str(cell.get("outputs", "")) for cell in told.cells)
    assert "UTC on this machine" in shown
    assert "goes on: Small night" in shown
    assert "SLEEP" in shown or "LOOK" in shown or "ACT" in shown
