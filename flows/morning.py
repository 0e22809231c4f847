"""The morning report at 07:00, as a flow: its state's name is the night's word."""

from datetime import timedelta
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.notify import tell
from nightshift.instant import wall_now
from nightshift.rundir import RunDir
from nightshift.states import NightError
from schedules.clock import SystemClock
from tasks.campaign_page import write_campaign
from tasks.forecast import newest_run
from tasks.handoff import read_handoff
from tasks.launch import nightwatch_alive
from tasks.notices import Notice, handed_over_notice
from tasks.tonight import OVER, why_not_tonights
from verdict.seal import read_seal

STILL_RUNNING, NEVER_STARTED, CAMPAIGN_OVER = "Still running", "Never started", "Campaign over"
WAIT_FOR_NIGHT_S = 120.0
"""At 07:00 sharp a hand-over may be seconds away."""


@flow(name="morning", flow_run_name="morning report")
def morning(home: str = "runs", wait_s: float = WAIT_FOR_NIGHT_S) -> State[None]:
    """Show the last night's report; a night that still runs or never began is named as such."""
    logger = get_run_logger()
    try:
        run = newest_run(Path(home))
    except NightError as error:
        _tell_missing(Path(home) / ".notices", NEVER_STARTED, str(error))
        return Completed(name=NEVER_STARTED, message=str(error))
    missing = why_not_tonights(run, wall_now())
    if missing == OVER:
        return Completed(name=CAMPAIGN_OVER, message=OVER)
    if missing:
        _tell_missing(Path(home) / ".notices", NEVER_STARTED, missing)
        return Completed(name=NEVER_STARTED, message=missing)
    wait_while_alive(run, wait_s)
    handoff = read_handoff(run)
    if handoff is None:
        alive = nightwatch_alive(run)
        name = STILL_RUNNING if alive else NEVER_STARTED
        message = f"{run.path}: nothing was handed over yet"
        _tell_missing(run.notices, name, message)
        return Completed(name=name, message=message)
    tell(run.notices, handed_over_notice(run, str(handoff.word), handoff.sentence))
    page = write_campaign(Path(home).resolve(), read_seal(run).plan)
    if run.report_markdown.exists():
        text = run.report_markdown.read_text()
        create_markdown_artifact(markdown=text, key="morning-report", description=handoff.sentence)
    logger.info("%s: %s", handoff.word, handoff.sentence)
    logger.info("Report: %s", run.report_html)
    logger.info("Campaign: %s", page)
    return Completed(name=handoff.word, message=handoff.sentence)


def _tell_missing(folder: Path, name: str, text: str) -> None:
    tell(folder, Notice(f"morning-{wall_now():%Y-%m-%d}", f"ACT: {name.lower()}", text))


def wait_while_alive(run: RunDir, wait_s: float) -> None:
    """Return when the nightwatch has ended, or after `wait_s` real seconds."""
    clock = SystemClock()
    until = clock.now() + timedelta(seconds=wait_s)
    while nightwatch_alive(run) and clock.now() < until:
        clock.wait_until(min(until, clock.now() + timedelta(seconds=1)))
