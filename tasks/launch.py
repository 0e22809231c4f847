"""Opening a night: the run directory, the seal, the detached nightwatch."""

import fcntl
import json
import os
import secrets
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from models.data import open_source
from models.settings import check_settings
from nightshift.checkpoint import write_atomically
from nightshift.rundir import RunDir
from nightshift.states import NightError
from schedules.budget import NIGHT_GRACE_S, ProcessCosts, refuse_too_fast
from schedules.clock import RehearsalClock, SystemClock
from schedules.plan import Night, Plan
from schedules.timetable import timetable
from schedules.window import night_under_way_or_next, resolve_zone
from tasks.gpu import find_gpus, shown_to_trainers, torch_without_cuda
from tasks.handoff import usable_handoffs
from tasks.judge_times import measured_judge_s
from tasks.night_line import socket_exists
from tasks.process_identity import ProcessIdentity
from verdict.preflight import preflight
from verdict.scorebook import ScoreBook
from verdict.seal import Seal, SealedData, SealedWindow, write_seal
from verdict.sealed_files import judge_code_sha256, seal_data, sealed_code

SILENCE_S = 60.0
SILENCE_IN_REHEARSAL_S = 5.0
"""A rehearsal's minute is a second; this still outlasts the gap between two steps of a busy flow."""
LAUNCH_WITHIN_S = 30.0
JUDGE_S, PICTURE_S = {"ranking": 20.0, "candidates": 25.0, "none": 3.0}, 0.006
"""Real seconds that judging takes until it was measured on this machine and data; each picture is encoded anew."""
SHORTEST_JUDGE_S = 3.0


@dataclass(frozen=True)
class NightRequest:
    """What a person asked for: which night, on what data, how fast, from where to where."""

    plan: Plan
    plan_dir: Path
    night: Night
    data: str | None
    home: Path
    speed: float
    day: date | None = None
    """The evening's date; None: the night under way, else the next one."""


def check_night_settings(plan: Plan, source: str) -> None:
    """Raise NightError where a stage's settings do not fit its trainer."""
    for night in plan.nights:
        for stage in night.stages:
            wrong = check_settings(stage.module, dict(stage.settings), stage.processes)
            if wrong:
                raise NightError(f"{source}: night {night.name}, stage {stage.name}, {wrong}")


def too_few_gpus(plan: Plan, night: Night) -> str | None:
    """Return which stage has more processes than a night holds GPUs on this machine, or None; CPUs are shared."""
    asking = max(night.stages, key=lambda stage: stage.processes)
    if asking.processes == 1 or night_device() == "cpu":
        return None
    found = len(find_gpus()[0])
    held = min(plan.gpus, found)
    if asking.processes <= held:
        return None
    fits = asking.processes <= found
    return (
        f"night {night.name}, stage {asking.name}: processes = {asking.processes}: each needs a GPU, and a night holds "
        f"{held} of {found} here; set "
        + (f"gpus = {asking.processes} in the plan" if fits else f"processes = {found}")
    )


def costs_of(request: NightRequest, data: SealedData) -> ProcessCosts:
    """Return what does not compress on this machine, with the judge's time as last measured."""
    measured = measured_judge_s(request.home, request.night.name, data.origin)
    pictures = data.pictures.count if data.pictures and request.night.judge == "ranking" else 0
    expected = JUDGE_S[request.night.judge] + PICTURE_S * pictures
    return ProcessCosts(
        grace_s=NIGHT_GRACE_S if request.speed == 1 else ProcessCosts.grace_s,
        judge_s=expected if measured is None else max(SHORTEST_JUDGE_S, measured),
    )


def night_device() -> str:
    """Return the device that a night on this machine trains on, as torch names it among those it is shown."""
    gpus, _ = find_gpus()
    return "cuda:0" if gpus and not torch_without_cuda() else "cpu"


def make_seal(request: NightRequest, book: ScoreBook | None = None) -> Seal:
    """Return the promise of this night, data checked and hashed; a `book` is shared by nights on one data set.

    Raises NightError where the data cannot be used, the speed is too fast or GPUs are missing.
    """
    if missing := too_few_gpus(request.plan, request.night):
        raise NightError(missing)
    zone = resolve_zone(request.plan.timezone)
    plan = request.plan.model_copy(update={"timezone": zone.key})
    data = seal_data(open_source(request.data, request.home / ".cache"))
    now = SystemClock().now()
    day = request.day or night_under_way_or_next(now, plan.starts, plan.hands_over, zone)
    table = timetable(plan, request.night, day)
    costs = costs_of(request, data)
    refuse_too_fast(table, costs, request.speed)
    rehearsed = request.speed != 1
    code = sealed_code(request.night, request.plan_dir.resolve())
    held = find_gpus()[0][: plan.gpus]
    seal = Seal(
        night=request.night,
        plan=plan,
        date=day,
        timezone=zone.key,
        window=SealedWindow(start=table.window.start, hand_over=table.window.hand_over),
        speed=request.speed,
        clock=None,
        data=data,
        handoffs=usable_handoffs(request.home, _earlier_nights(plan, request.night)),
        home=str(request.home.resolve()),
        plan_dir=str(request.plan_dir.resolve()),
        device=night_device(),
        gpus=tuple(gpu.uuid for gpu in held),
        cuda_visible=shown_to_trainers(held),
        seed=plan.seeds[0],
        nonce=secrets.token_hex(16),
        judge_sha256=judge_code_sha256(code),
        code=code,
        silence_s=SILENCE_IN_REHEARSAL_S if rehearsed else SILENCE_S,
        costs=asdict(costs),
    )
    seal = seal.model_copy(update={"preflight": preflight(seal, book)})
    # The clock of a rehearsal starts last: what was checked above must not cost compressed hours.
    clock = RehearsalClock.starting(table.window.start, request.speed).spec if rehearsed else None
    return seal.model_copy(update={"clock": clock})


def _earlier_nights(plan: Plan, night: Night) -> list[str]:
    names = [other.name for other in plan.nights]
    return names[: names.index(night.name)] if night.name in names else []


def new_run(request: NightRequest) -> RunDir:
    """Return the folder of a new run of this night."""
    zone = resolve_zone(request.plan.timezone)
    now = SystemClock().now()
    day = request.day or night_under_way_or_next(now, request.plan.starts, request.plan.hands_over, zone)
    return RunDir.create(request.home, day.isoformat(), request.night.name)


def open_night(request: NightRequest, run: RunDir) -> Seal:
    """Return the seal of a night whose nightwatch now runs and answers.

    Raises NightError where the night cannot be opened: bad data, too fast, GPU taken.
    """
    seal = make_seal(request)
    write_seal(seal, run)
    facts = {"kind": seal.data.kind, "name": seal.data.name, "facts": seal.data.facts}
    write_atomically(run.data_facts, json.dumps(facts))
    start_nightwatch(run)
    return seal


def start_nightwatch(run: RunDir) -> None:
    """Start the nightwatch of this run in a session of its own, and return once it answers.

    Nothing where it runs already. Raises NightError with its own words where it refuses.
    """
    with run.start_lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not nightwatch_alive(run):
            (run.path / run.socket_name).unlink(missing_ok=True)
            _start(run)


def _start(run: RunDir) -> None:
    refused = run.path / "refused.txt"
    refused.unlink(missing_ok=True)
    with run.nightwatch_log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.nightwatch", str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=run.path,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    pause = threading.Event()
    for _ in range(int(LAUNCH_WITHIN_S / 0.05)):
        if socket_exists(run):
            return
        if process.poll() is not None:
            break
        pause.wait(0.05)
    why = refused.read_text() if refused.exists() else f"it did not answer; see {run.nightwatch_log}"
    raise NightError(f"the night was not opened: {why}")


def nightwatch_alive(run: RunDir) -> bool:
    """Return whether this run's nightwatch still runs."""
    identity = ProcessIdentity.read(run.nightwatch_identity)
    return identity is not None and identity.alive()
