"""The night as Prefect sees it: one task per step, each following the nightwatch.

`python -m flows.night REQUEST_JSON` runs one night in this process, for the command line.
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import Flow, flow, get_run_logger, tags, task
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import flow_run as this_flow_run
from prefect.states import Completed, Failed

from flows.artifacts import StageProgress, publish_plan, publish_verdict
from flows.night_page import NightPage
from flows.notify import RESTARTED, VERDICT, emit, tell
from flows.request import load_plan, request_for, run_of_flow_run
from nightshift.checkpoint import write_atomically
from nightshift.rundir import RunDir
from nightshift.states import Ending, NightError
from schedules.clock import SystemClock
from schedules.timetable import timetable
from schedules.window import night_under_way_or_next, resolve_zone
from tasks.campaign import next_of_campaign
from tasks.closing import HAND_OVER, JUDGE, REPORT
from tasks.handoff import read_handoff
from tasks.launch import NightRequest, new_run, nightwatch_alive, open_night, start_nightwatch
from tasks.mirror import mirror_night
from tasks.night_line import NightwatchGone, ask, follow
from tasks.night_status import NightStatus, StageStatus, read_status
from tasks.notices import handed_over_notice, preflight_notice
from tasks.process_identity import ProcessIdentity
from verdict.finding import read_verdict
from verdict.seal import read_seal

REVIVALS = 3
"""How often a step starts a dead nightwatch again."""
BAD = (Ending.CRASHED, Ending.STALLED, Ending.OUT_OF_MEMORY, Ending.DIVERGED, Ending.GPU_LOST)


@task(name="Seal and open the night")
def open_the_night(request: NightRequest, run: RunDir) -> None:
    """Seal plan and data, and start the nightwatch; attach to it where it already runs."""
    logger = get_run_logger()
    if nightwatch_alive(run):
        logger.info("Attached to the night in %s", run.path)
        return
    seal = open_night(request, run)
    logger.info("Night %s sealed in %s: data %s", seal.night.name, run.path, seal.data.name)
    if seal.preflight:
        log = logger.info if seal.preflight.can_answer else logger.warning
        log("%s", seal.preflight.sentence)
        tell(run.notices, preflight_notice(run, seal.night.title, seal.preflight.sentence))
    publish_plan(seal)


@task(name="Stage")
def follow_stage(run: RunDir, name: str, page: NightPage) -> State[None]:
    """Ask for a stage and follow it to its ending, which names the task's state."""
    logger = get_run_logger()
    progress = StageProgress(run, name)
    restarts = 0
    for status in follow_step(run, name):
        stage = status.stage(name)
        progress.show(stage)
        page.show(status)
        if stage.restarts > restarts:
            restarts = stage.restarts
            emit(RESTARTED, status.night, run.path, stage=stage.title, restarts=restarts)
    stage = _status(run).stage(name)
    logger.info("%s: %s, %d restarts", stage.title, _spoken(stage), stage.restarts)
    for note in stage.notes:
        logger.warning("%s: %s", stage.title, note)
    if stage.ending in BAD:
        return Failed(name=_spoken(stage), message=f"{stage.title}: {_spoken(stage)}; the night goes on")
    return Completed(name=_spoken(stage), message=f"{stage.title}: {_spoken(stage)}")


@task(name="Judge")
def follow_judge(run: RunDir) -> State[None]:
    """Follow the judge; its word names the task's state."""
    _wait_for(run, JUDGE)
    verdict = read_verdict(run)
    get_run_logger().info("%s: %s", verdict.word, verdict.sentence)
    return Completed(name=verdict.word, message=verdict.sentence)


@task(name="Hand over")
def follow_hand_over(run: RunDir) -> None:
    """Follow the hand-over."""
    _wait_for(run, HAND_OVER)
    handoff = read_handoff(run)
    if handoff:
        when = "on time" if handoff.on_time else "late"
        get_run_logger().info("Handed over %d files, %s: %s", len(handoff.files), when, run.handover)


@task(name="Morning report")
def follow_report(run: RunDir) -> None:
    """Follow the report, and show it in the UI and in wandb."""
    _wait_for(run, REPORT)
    publish_verdict(run)
    logger = get_run_logger()
    handoff = read_handoff(run)
    if handoff:
        emit(VERDICT, handoff.night, run.path, word=str(handoff.word), sentence=handoff.sentence)
        tell(run.notices, handed_over_notice(run, str(handoff.word), handoff.sentence))
    logger.info("Report: %s", run.report_html)
    logger.info("wandb: %s", mirror_night(run))


def follow_step(run: RunDir, step: str) -> Iterator[NightStatus]:
    """Ask for a step and yield the night's status until it is over, also where it was over before.

    A nightwatch that died is started again. Raises NightwatchGone where that does not help.
    """
    for left in reversed(range(REVIVALS + 1)):
        try:
            yield from follow(run, step)
            return
        except NightwatchGone:
            status = read_status(run.status)
            if status is not None and step in status.done:
                return
            if not left:
                raise
            get_run_logger().warning("The nightwatch is gone and is started again")
            start_nightwatch(run)


def _wait_for(run: RunDir, step: str) -> None:
    for _ in follow_step(run, step):
        pass


def _status(run: RunDir) -> NightStatus:
    status = read_status(run.status)
    if status is None:
        raise NightError(f"{run.status}: cannot be read")
    return status


def _spoken(stage: StageStatus) -> str:
    return stage.ending.replace("_", " ").capitalize()


def give_the_gpu_back(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Stop the night when its flow run is cancelled: save, judge what exists, hand over."""
    home = Path(str((flow_run.parameters or {}).get("home", "runs")))
    run = run_of_flow_run(home, str(flow_run.id))
    if run and nightwatch_alive(run):
        ask(run, {"ask": "stop"})


def _too_late(request: NightRequest) -> bool:
    """Return whether a scheduled night is over already: a laptop opened at 08:00 starts late runs."""
    if request.day is None or request.speed != 1:
        return False
    return SystemClock().now() >= timetable(request.plan, request.night, request.day).window.hand_over


def night_run_name() -> str:
    """Return a name a person understands: which night, which evening."""
    parameters = this_flow_run.parameters or {}
    scheduled = _scheduled_day(parameters.get("plan"), parameters.get("timezone"))
    evening = parameters.get("day") or scheduled or ""
    return f"{parameters.get('name') or 'next night'} {evening}".strip()


@flow(name="night", flow_run_name=night_run_name, on_cancellation=[give_the_gpu_back])
def night(
    name: str = "",
    plan: str | None = None,
    data: str | None = None,
    home: str = "runs",
    speed: float = 1.0,
    day: str | None = None,
    run_dir: str | None = None,
    timezone: str | None = None,
) -> State[None]:
    """Run one night; its state's name is the night's word.

    `name` is a night of the plan, or empty for the next one of the campaign; `timezone` is what its "local" meant where
    it was deployed. FAILED means that nothing was handed over; an honest night is never repeated.
    """
    chosen = name or _next_name(plan, Path(home))
    if not chosen:
        return Completed(name="Skipped", message="every night of this campaign was handed over")
    request = request_for(chosen, plan, data, home, speed, day or _scheduled_day(plan, timezone), timezone)
    if _too_late(request):
        return Completed(name="Skipped", message="too late: the hand-over of this night has passed")
    run = RunDir(Path(run_dir)) if run_dir else new_run(request)
    process = ProcessIdentity.of(os.getpid())
    identity = {
        "pid": os.getpid(),
        "flow_run_id": str(this_flow_run.id),
        "process": process and asdict(process),
    }
    write_atomically(run.flow_identity, json.dumps(identity))
    open_the_night(request, run)
    page = NightPage(run, read_seal(run).timezone)
    page.show(_status(run))
    for stage in request.night.stages:
        follow_stage.with_options(name=stage.title)(run, stage.name, page, return_state=True)
    follow_judge(run, return_state=True)
    follow_hand_over(run)
    follow_report(run)
    page.show(_status(run), last=True)
    handoff = read_handoff(run)
    if handoff is None:
        return Failed(message="nothing was handed over")
    return Completed(name=handoff.word, message=handoff.sentence)


def _next_name(plan: str | None, home: Path) -> str:
    loaded, _ = load_plan(Path(plan) if plan else None)
    following = next_of_campaign(loaded, home)
    return following.name if following else ""


def _scheduled_day(plan: str | None, timezone: str | None) -> str | None:
    """Return the evening that this run was scheduled for, as a date of the plan's time zone."""
    scheduled = this_flow_run.scheduled_start_time
    if scheduled is None:
        return None
    loaded, _ = load_plan(Path(plan) if plan else None, timezone)
    zone, now = resolve_zone(loaded.timezone), scheduled
    return night_under_way_or_next(now, loaded.starts, loaded.hands_over, zone).isoformat()


def main(request_file: Path) -> int:
    """Return the exit code of one night run in this process, with the parameters in a JSON file."""
    parameters = json.loads(request_file.read_text())
    try:
        with tags("nightshift"):
            state = night(**parameters, return_state=True)
    except NightError as error:
        print(f"nightshift: {error}", file=sys.stderr)
        return 2
    return 0 if state.is_completed() else 2


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
