"""One night as a child process of the command line, followed through its status file."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from flows.cli.night_view import NightView
from flows.cli.output import err
from flows.server import client_environment
from nightshift.checkpoint import write_atomically
from nightshift.rundir import RunDir
from nightshift.states import NightError
from schedules.clock import SystemClock
from tasks.handoff import read_handoff
from tasks.injection import Injector
from tasks.launch import NightRequest, new_run, nightwatch_alive, start_nightwatch
from tasks.night_line import NightwatchGone, ask
from tasks.night_status import read_status

REVIVALS = 3
LOOK_EVERY = timedelta(seconds=0.25)


@dataclass(frozen=True)
class NightOutcome:
    """What came of one night."""

    handed_over: bool
    word: str
    sentence: str
    report: Path
    document: dict[str, object]
    """The night's entry of the `--json` document."""


def run_night(
    request: NightRequest, plan: Path | None, url: str, faults: Injector | None = None
) -> NightOutcome:
    """Return the outcome of a night run to its end, its progress shown on stderr.

    Raises NightError where the night could not be opened.
    """
    run = new_run(request)
    process = start_flow(request, run, plan, url)
    view = NightView(run, request)
    asked_to_stop, revivals = False, 0
    clock = SystemClock()
    with view:
        while True:
            if _over(run, process) and not (faults and faults.off_s is not None):
                revivals += 1
                if revivals > REVIVALS or not _revived(run):
                    break
            try:
                view.show()
                if faults:
                    faults.have_due(run, process.pid)
                # Not process.wait(): it returns at once, for ever, when a killed flow leaves its night behind.
                clock.wait_until(clock.now() + LOOK_EVERY)
            except KeyboardInterrupt:
                if asked_to_stop:
                    raise
                asked_to_stop = True
                _stop(run)
        view.show()
    if read_handoff(run) is None:
        raise NightError(_why_not_opened(run))
    return outcome_of(run)


def start_flow(request: NightRequest, run: RunDir, plan: Path | None, url: str) -> subprocess.Popen[bytes]:
    """Return the started process that runs the night's flow on this server."""
    parameters = {
        "name": request.night.name,
        "plan": str(plan.resolve()) if plan else None,
        "data": request.data,
        "home": str(request.home),
        "speed": request.speed,
        "day": request.day.isoformat() if request.day else None,
        "run_dir": str(run.path),
    }
    file = run.path / "request.json"
    write_atomically(file, json.dumps(parameters))
    with run.flow_log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.night", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | client_environment(url, request.home),
            start_new_session=True,
        )


def _over(run: RunDir, process: subprocess.Popen[bytes]) -> bool:
    """Return whether flow and nightwatch have both ended; a dead flow does not end a night."""
    return process.poll() is not None and not nightwatch_alive(run)


def _revived(run: RunDir) -> bool:
    """Return whether a night that lost both its flow and its nightwatch before the hand-over goes on again."""
    if read_handoff(run) is not None or not run.ledger.exists():
        return False
    start_nightwatch(run)
    return True


def _stop(run: RunDir) -> None:
    err.print("stopping: save, judge what exists, hand over (Ctrl-C again to leave it alone with that)")
    try:
        ask(run, {"ask": "stop"})
    except NightwatchGone:
        os.kill(os.getpid(), signal.SIGINT)


def _why_not_opened(run: RunDir) -> str:
    lines = [line for line in run.flow_log.read_text(errors="replace").splitlines() if "nightshift: " in line]
    why = lines[-1].split("nightshift: ", 1)[1] if lines else f"read {run.flow_log}"
    return f"nothing was handed over: {why}"


def outcome_of(run: RunDir) -> NightOutcome:
    """Return the outcome of a night that was handed over."""
    handoff, status = read_handoff(run), read_status(run.status)
    if handoff is None:
        raise NightError(f"{run.path}: nothing was handed over")
    try:
        document = json.loads(run.report_json.read_text())
    except (OSError, ValueError):
        document = {
            "night": handoff.night,
            "date": handoff.date,
            "word": handoff.word,
            "run_dir": str(run.path),
        }
    sentence = status.sentence if status else handoff.sentence
    return NightOutcome(True, handoff.word, sentence, run.report_html, document)
