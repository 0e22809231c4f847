"""Every command of the README is run as it stands there, but `make night` and `make test`.

Those that take minutes run where NIGHTSHIFT_README is set, as `make test-long` does.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "tasks"))

from open_night import finished_night  # noqa: E402
from small_night import counting_plan  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.world, pytest.mark.timeout(1500)]
FAULTS = "crash@01:10,reboot@01:45,oom@02:00,serverdown@02:30,hang@03:20,nan@04:00,diskfull@04:30"
QUICK = {
    "check DATA": {0, 20},
    "plan --data DATA": {0},
    "audit features.npz": {0, 10, 20},
    "audit mine.py:ndcg": {0, 10, 20},
    "audit results.csv": {0, 10, 20},
    "audit DATA": {0, 10, 20},
    "doctor": {0},
    "watch": {0},
    "bedtime": {0},
    "morning": {0},
    "support": {0},
    "judge RUN": {0, 10, 20, 30},
    "resume": {0},
    "prune": {0},
    "schema": {0},
    "new my-night": {0},
    "publish --where DRIVE": {0},
    "keep DRIVE --once": {0},
    "keep DRIVE --restore": {0},
}
"""Command -> exit codes that the README allows."""
LONG = ("rehearse fusion --data DATA", f"rehearse fusion --speed 60 --faults {FAULTS}", "simulate")
TOGETHER = (
    "start",
    "deploy",
    "prefect worker start --pool nightshift-tuners --limit 1",
    "prefect deployment run tuner/on-demand -p study=ltr -p data=DATA -p hours=6",
    "fetch fusion --from DRIVE",
    "run fusion",
    "stop",
    "stop --at 03:00",
)
"""Run by tests of their own: what starts needs ending, a deployment a server (`test_postgres.py`), a bundle a night."""


def readme_commands():
    text = (REPOSITORY / "README.md").read_text().replace("\\\n", " ")
    found = re.findall(r"^    (?:\w+=\S+ )*\.venv/bin/(.*)$", text, re.MULTILINE)
    return [shlex.join(shlex.split(line, comments=True)).removeprefix("nightshift ") for line in found]


def command(words, place):
    told = [str(place[word]) if word in place else word for word in shlex.split(words)]
    return [sys.executable, "-m", "flows.cli.app", *told]


def environment():
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "100"}


def run(words, place, folder, timeout):
    return subprocess.run(
        command(words, place), cwd=folder, env=environment(), capture_output=True, text=True, timeout=timeout,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder as a person has it after a first night: data, runs, results of their own."""
    folder = tmp_path_factory.mktemp("readme")
    with finished_night(folder, counting_plan(folder, 10)) as night:
        rng = np.random.default_rng(1)
        np.savez(folder / "features.npz", image=rng.normal(size=(200, 64)).astype(np.float32))
        (folder / "mine.py").write_text(
            "import numpy as np\n\ndef ndcg(labels, scores, k=10):\n"
            "    order = np.argsort(-np.asarray(scores), kind='stable')[:k]\n"
            "    gains = (2.0 ** np.asarray(labels, dtype=float) - 1)\n"
            "    discount = 1 / np.log2(np.arange(2, k + 2))\n"
            "    best = np.sort(gains)[::-1][:k]\n"
            "    return float((gains[order] * discount[: len(order)]).sum() / (best * discount[: len(best)]).sum())\n"
        )
        rows = ["query_id,system,ndcg@10"]
        for query in range(40):
            rows += [f"q{query},V1,{rng.uniform(0.4, 0.6):.4f}", f"q{query},new,{rng.uniform(0.5, 0.8):.4f}"]
        (folder / "results.csv").write_text("\n".join(rows) + "\n")
        yield {"DATA": folder / "data", "RUN": night.run.path, "DRIVE": folder / "drive", "folder": folder}


def test_every_command_of_the_readme_is_run_by_a_test():
    assert sorted(set(readme_commands())) == sorted({*QUICK, *LONG, *TOGETHER})


@pytest.mark.parametrize("words", QUICK)
def test_a_command_does_what_the_readme_says(place, words):
    done = run(words, place, place["folder"], 200)
    assert done.returncode in QUICK[words], done.stdout + done.stderr
    assert done.stdout.strip()
    assert "Traceback" not in done.stdout + done.stderr


def test_a_published_night_is_fetched(place):
    told = "publish --where DRIVE", "fetch small --from DRIVE --to here"
    for words in told:
        done = run(words, place, place["folder"], 100)
        assert done.returncode == 0, done.stderr
    assert list(place["folder"].glob("here/small-*/bundle.json"))


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heed_them() -> None:
    """As in a terminal: what a shell starts in the background ignores Ctrl-C, and so would what the tests start."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("ending", ENDINGS)
def test_start_serves_until_it_is_ended_and_leaves_nothing_behind(place, ending):
    served = subprocess.Popen(
        [*command("start", place), "--port", "0"], cwd=place["folder"], env=environment(),
        stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heed_them,
    )  # fmt: skip
    told = ""
    while "Ctrl-C ends it" not in told:
        line = served.stderr.readline()
        assert line, told
        told += line
    assert "Prefect UI: http://127.0.0.1:" in told
    started = children(served.pid)
    assert len(started) == 2, "Prefect's server, and what serves the nights"
    served.send_signal(ending)
    assert served.wait(60) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)


gated = pytest.mark.skipif(
    "NIGHTSHIFT_README" not in os.environ, reason="SKIPPED: takes minutes; NIGHTSHIFT_README=1 runs it"
)


@gated
@pytest.mark.parametrize("words", LONG)
def test_a_long_command_does_what_the_readme_says(place, words, tmp_path):
    data = {"DATA": place["DATA"]}
    done = run(words, data, tmp_path, 1200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


@gated
def test_a_real_night_is_begun_and_given_back(tmp_path):
    with (tmp_path / "out.txt").open("w") as out:
        night = subprocess.Popen(
            command("run fusion", {}), cwd=tmp_path, env=environment(), stdout=out, stderr=out
        )
    pause = threading.Event()
    for _ in range(1200):
        found = list(tmp_path.glob("runs/*/fusion/stages/*/events.jsonl"))
        if found:
            break
        assert night.poll() is None, (tmp_path / "out.txt").read_text()
        pause.wait(0.25)
    over = "03:00" <= datetime.now(ZoneInfo("Europe/Berlin")).strftime("%H:%M") < "07:00"  # no 03:00 left
    for words in ("stop --at 06:58" if over else "stop --at 03:00", "stop"):
        done = run(words, {}, tmp_path, 60)
        assert done.returncode == 0, done.stderr
    assert night.wait(300) == 0, (tmp_path / "out.txt").read_text()
    [handoff] = tmp_path.glob("runs/*/fusion/handoff.json")
    assert json.loads(handoff.read_text())["night"] == "fusion"
