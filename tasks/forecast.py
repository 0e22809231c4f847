"""The bedtime check, first form: is it alive, is the loss falling, when will it end."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from scipy.stats import kendalltau

from nightshift.checkpoint import write_atomically
from nightshift.events import Event, read_events
from nightshift.instant import parse_utc
from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.launch import nightwatch_alive
from tasks.night_status import HANDED_OVER, NightStatus, StageStatus, read_status
from verdict.seal import Seal, read_seal
from verdict.utilisation import read_samples, utilisation

SLEEP, LOOK, ACT = "SLEEP", "LOOK", "ACT"
FEWEST_LOSSES = 6
"""Below this many loss values no trend is claimed."""
LOOK_BACK = timedelta(minutes=15)


@dataclass(frozen=True)
class BedtimeCheck:
    """What a person needs to know before going to bed; instants are ISO 8601 UTC."""

    at: str
    night: str
    run_dir: str
    word: str
    """SLEEP, LOOK or ACT."""
    action: str
    alive: bool
    stage: str
    utilisation: str
    loss_falling: bool | None
    """None where there are too few values to say."""
    loss_first: float | None
    loss_last: float | None
    stage_end: str
    """Predicted end of the running stage."""
    hand_over: str
    """Predicted hand-over."""
    deadline: str


def loss_trend(losses: list[float]) -> bool | None:
    """Return whether the loss falls (Kendall's tau < 0, p < .05), or None for too few values."""
    if len(losses) < FEWEST_LOSSES:
        return None
    result = kendalltau(range(len(losses)), losses)
    return bool(result.statistic < 0 and result.pvalue < 0.05)


def losses_of(events: list[Event]) -> list[float]:
    """Return the training losses that a trainer told, in order."""
    return [event.values["loss"] for event in events if event.kind == "metrics" and "loss" in event.values]


def stage_losses(run: RunDir, stage: StageStatus) -> list[float]:
    """Return the training losses of one stage, none where it has none."""
    return losses_of(read_events(run.stage(stage.name).events)[0])


def predicted_end(stage: StageStatus, now: datetime) -> datetime:
    """Return when the running stage will end: at its rate so far, at its deadline at the latest."""
    deadline = parse_utc(stage.deadline or stage.planned_end)
    if not (stage.start and stage.total and 0 < stage.samples <= stage.total):
        return deadline
    spent = now - parse_utc(stage.start)
    return min(deadline, now + spent * ((stage.total - stage.samples) / stage.samples))


def predicted_hand_over(status: NightStatus, seal: Seal, now: datetime) -> datetime:
    """Return when the night will hand over if every later stage takes the time it is given."""
    end = now
    for index, stage in enumerate(status.stages):
        if stage.end:
            continue
        budget = seal.budget(parse_utc(status.hand_over))
        end = predicted_end(stage, now) if stage.start else max(end, budget.deadline(index, end))
    reserve = seal.budget(parse_utc(status.hand_over)).reserve
    return min(end + reserve, max(parse_utc(status.hand_over), now))


def check_bedtime(run: RunDir) -> BedtimeCheck:
    """Return the bedtime check of a night, also kept in its folder.

    Raises NightError where the run directory holds no night that began.
    """
    seal, status = read_seal(run), read_status(run.status)
    if status is None:
        raise NightError(f"{run.path}: the night has not begun; nothing can be checked yet")
    now = seal.make_clock().now()
    alive = nightwatch_alive(run)
    stage = _current(status)
    losses = next((found for s in reversed(status.stages) if (found := stage_losses(run, s))), [])
    falling = loss_trend(losses)
    word, action = _word(status, alive, falling)
    check = BedtimeCheck(
        at=now.isoformat(),
        night=status.night,
        run_dir=str(run.path),
        word=word,
        action=action,
        alive=alive,
        stage=stage.title,
        utilisation=_utilisation(run, seal, status, now),
        loss_falling=falling,
        loss_first=losses[0] if losses else None,
        loss_last=losses[-1] if losses else None,
        stage_end=(parse_utc(stage.end) if stage.end else predicted_end(stage, now)).isoformat(),
        hand_over=status.handed_over_at or predicted_hand_over(status, seal, now).isoformat(),
        deadline=status.hand_over,
    )
    write_atomically(run.bedtime, json.dumps(asdict(check), indent=1))
    return check


def _current(status: NightStatus) -> StageStatus:
    running = [stage for stage in status.stages if stage.start and not stage.end]
    begun = [stage for stage in status.stages if stage.start]
    return (running or begun[-1:] or status.stages)[0]


def _utilisation(run: RunDir, seal: Seal, status: NightStatus, now: datetime) -> str:
    if seal.device == "cpu":
        return f"not measured: {status.gpu}"
    use = utilisation(read_samples(run.gpu_samples), now - LOOK_BACK, now, seal.speed)
    if use is None:
        return "not measured: the sampler has written nothing"
    return f"{use.low_pct:.0f} to {use.high_pct:.0f} % over the last {LOOK_BACK.seconds // 60} min"


def _word(status: NightStatus, alive: bool, falling: bool | None) -> tuple[str, str]:
    if status.state == HANDED_OVER:
        return SLEEP, "The night is handed over already; read its report in the morning."
    if not alive:
        return ACT, "The nightwatch is not running: start the night again with `nightshift run`."
    restarts = sum(stage.restarts for stage in status.stages)
    bad = [
        stage
        for stage in status.stages
        if stage.ending and stage.ending not in ("FINISHED", "STOPPED_AT_DEADLINE")
    ]
    if bad:
        return ACT, f"{bad[0].title} ended as {bad[0].ending}: read stages/{bad[0].name}/output.log."
    if restarts:
        return LOOK, f"A stage was started again {restarts} times: read the notes with `nightshift watch`."
    if falling is False:
        return LOOK, "The loss does not fall: look at the curve before you go to bed."
    return SLEEP, "Nothing needs you. Good night."


def spoken_lines(check: BedtimeCheck, zone_name: str) -> list[str]:
    """Return the check as a few readable lines, times in the plan's zone."""
    from zoneinfo import ZoneInfo

    def local(text: str) -> str:
        return f"{parse_utc(text).astimezone(ZoneInfo(zone_name)):%H:%M}"

    trend = {True: "falling", False: "NOT falling", None: "too few values to say"}[check.loss_falling]
    figures = "" if check.loss_last is None else f" ({check.loss_first:.4f} to {check.loss_last:.4f})"
    return [
        f"{check.word}: {check.action}",
        f"night        {check.night}, checked at {local(check.at)}",
        f"alive        {'yes' if check.alive else 'no'}, last in {check.stage}",
        f"utilisation  {check.utilisation}",
        f"loss         {trend}{figures}",
        f"stage ends   {local(check.stage_end)} (predicted)",
        f"hands over   {local(check.hand_over)} (predicted), {local(check.deadline)} at the latest",
    ]


def newest_run(home: Path, night: str | None = None) -> RunDir:
    """Return the run that began last in this home.

    Raises NightError where there is none.
    """
    seals = [
        path
        for path in home.glob("*/*/seal.json")
        if night in (None, read_seal(RunDir(path.parent)).night.name)
    ]
    if not seals:
        raise NightError(
            f"{home}: holds no night yet; start one with `nightshift rehearse` or `nightshift run`"
        )
    return RunDir(max(seals, key=lambda path: path.stat().st_mtime_ns).parent.resolve())
