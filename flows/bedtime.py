"""The bedtime check at 23:45, as a flow: its state's name is SLEEP, LOOK or ACT."""

from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.notify import BEDTIME_ACT, emit, tell
from nightshift.instant import wall_now
from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.forecast import BedtimeCheck, check_bedtime, newest_run, spoken_lines
from tasks.forecast_model import ACT, SLEEP
from tasks.notices import Notice, head_of
from tasks.tonight import OVER, why_not_tonights
from verdict.seal import read_seal


@task(name="Look at the night")
def look(home: str) -> tuple[BedtimeCheck, str]:
    """Return the check of tonight's night, and the plan's time zone.

    Raises NightError where none has begun.
    """
    run = newest_run(Path(home))
    missing = why_not_tonights(run, wall_now())
    if missing:
        raise NightError(missing)
    return check_bedtime(run), read_seal(run).timezone


@flow(name="bedtime", flow_run_name="bedtime check")
def bedtime(home: str = "runs") -> State[None]:
    """Check the night that is running; where none runs, that is the answer."""
    try:
        check, zone = look(home)
    except NightError as error:
        if str(error) == OVER:
            return Completed(name=SLEEP, message=OVER)
        today = f"bedtime-{wall_now():%Y-%m-%d}"
        emit(BEDTIME_ACT, "no night", Path(home).resolve() / "none", action=str(error))
        tell(Path(home) / ".notices", Notice(today, "ACT: no night is running", str(error)))
        return Completed(name="ACT", message=f"no night is running: {error}")
    lines = spoken_lines(check, zone)
    run = RunDir(Path(check.run_dir))
    if check.word == ACT:
        emit(BEDTIME_ACT, check.night, run.path, action=check.action)
    tell(run.notices, Notice("bedtime", f"{check.word}: {check.night}", "\n".join(lines), head_of(run)))
    for line in lines:
        get_run_logger().info(line)
    text = f"# {check.word}\n\n{check.action}\n\n```\n" + "\n".join(lines[1:]) + "\n```\n"
    create_markdown_artifact(markdown=text, key="bedtime-check", description=check.action)
    return Completed(name=check.word, message=check.action)
