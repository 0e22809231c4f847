"""The bedtime check: is it alive, is the loss falling, when will it end, what would a crash cost; and one word."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from nightshift.checkpoint import write_atomically
from nightshift.events import read_events
from nightshift.instant import parse_utc
from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.forecast_model import SLEEP, Range, Times, forecast_times, word_for
from tasks.launch import nightwatch_alive
from tasks.night_seconds import Spent, read_seconds, totals
from tasks.night_seen import LOOK_BACK, loss_trend, night_seen, night_signs, recent_use, stage_losses
from tasks.night_status import NightStatus, StageStatus, read_status
from tasks.storage import folder_bytes, free_bytes
from verdict.ledger import read_ledger
from verdict.seal import Seal, read_seal


@dataclass(frozen=True)
class Ends:
    """When something will end, between which instants in 80 % of nights; ISO 8601 UTC."""

    low: str
    middle: str
    high: str

    @classmethod
    def after(cls, now: datetime, seconds: Range) -> "Ends":
        """Return the range of instants this many seconds after `now`."""
        low, middle, high = (
            (now + timedelta(seconds=s)).isoformat() for s in (seconds.low, seconds.middle, seconds.high)
        )
        return cls(low, middle, high)


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
    stage_ends: dict[str, Ends]
    """Title of a stage that has not ended -> when it will."""
    hand_over: Ends
    deadline: str
    work: list[float] | None
    """Share of its planned work that the elastic stage will have done: low, middle, high; None where it is silent."""
    epochs: list[float] | None
    """The same in epochs, where its settings count in them."""
    lost_in_a_crash_min: float | None
    """Minutes of night since the last checkpoint, None where nothing trains."""
    disk: str
    memory: str
    data_wait: float | None
    """Share of the night so far that went into loading data; None before anything ran."""


def check_bedtime(run: RunDir) -> BedtimeCheck:
    """Return the bedtime check of a night, also kept in its folder.

    Raises NightError where the run directory holds no night that began.
    """
    seal, status = read_seal(run), read_status(run.status)
    if status is None:
        raise NightError(f"{run.path}: the night has not begun; nothing can be checked yet")
    now = seal.make_clock().now()
    alive = nightwatch_alive(run)
    times = forecast_times(night_seen(run, seal, status, now))
    word, action = word_for(night_signs(run, seal, status, now, alive))
    if status.handed_over_at and word == SLEEP:
        action = "The night is handed over already; read its report in the morning."
    stage = _current(status)
    losses = next((found for s in reversed(status.stages) if (found := stage_losses(run, s))), [])
    over = status.handed_over_at
    check = BedtimeCheck(
        at=now.isoformat(),
        night=status.night,
        run_dir=str(run.path),
        word=word,
        action=action,
        alive=alive,
        stage=stage.title,
        utilisation=_utilisation(run, seal, status, now),
        loss_falling=loss_trend(losses),
        loss_first=losses[0] if losses else None,
        loss_last=losses[-1] if losses else None,
        stage_ends={} if over else _stage_ends(status, times, now),
        hand_over=Ends(over, over, over) if over else Ends.after(now, times.hand_over),
        deadline=status.hand_over,
        work=_three(times.work),
        epochs=_epochs(seal, times.work),
        lost_in_a_crash_min=_unsaved_min(run, stage, now),
        disk=_disk(run, stage),
        memory=_memory(status),
        data_wait=_data_wait(run, seal, status, now),
    )
    write_atomically(run.bedtime, json.dumps(asdict(check), indent=1))
    return check


def _current(status: NightStatus) -> StageStatus:
    running = [stage for stage in status.stages if stage.start and not stage.end]
    begun = [stage for stage in status.stages if stage.start]
    return (running or begun[-1:] or status.stages)[0]


def _stage_ends(status: NightStatus, times: Times, now: datetime) -> dict[str, Ends]:
    titles = {stage.name: stage.title for stage in status.stages}
    return {titles[name]: Ends.after(now, end) for name, end in times.stages.items()}


def _three(share: Range | None) -> list[float] | None:
    return [round(value, 4) for value in (share.low, share.middle, share.high)] if share else None


def _epochs(seal: Seal, share: Range | None) -> list[float] | None:
    settings = next((stage.settings for stage in seal.night.stages if stage.elastic), {})
    planned = settings.get("epochs")
    shares = _three(share)
    if shares is None or not isinstance(planned, int):
        return None
    return [round(planned * value, 1) for value in (*shares, 1.0)]


def _unsaved_min(run: RunDir, stage: StageStatus, now: datetime) -> float | None:
    if not stage.start or stage.end:
        return None
    saved = [event.at for event in read_events(run.stage(stage.name).events)[0] if event.kind == "checkpoint"]
    since = saved[-1] if saved else parse_utc(stage.start)
    return round(max(0.0, (now - since).total_seconds()) / 60, 1)


def _disk(run: RunDir, stage: StageStatus) -> str:
    newest = max(run.stage(stage.name).checkpoints.glob("step-*"), default=None)
    size = f"; a checkpoint takes {folder_bytes(newest) / 1e6:.0f} MB" if newest else ""
    return f"{free_bytes(run.path) / 1e9:.1f} GB free{size}"


def _memory(status: NightStatus) -> str:
    used, total = status.gpu_values.get("memory_used_bytes"), status.gpu_values.get("memory_total_bytes")
    if not used or not total:
        return "not measured"
    return f"{used / 2**30:.1f} of {total / 2**30:.1f} GiB in use, {(total - used) / 2**30:.1f} GiB free"


def _data_wait(run: RunDir, seal: Seal, status: NightStatus, now: datetime) -> float | None:
    entries = read_ledger(run.ledger, seal.nonce)
    names = [stage.name for stage in status.stages]
    spent = totals(read_seconds(run, names, seal.window.start, now, entries).pieces())
    whole = sum(spent.values())
    return round(spent.get(Spent.LOAD, 0.0) / whole, 4) if whole else None


def _utilisation(run: RunDir, seal: Seal, status: NightStatus, now: datetime) -> str:
    use = recent_use(run, seal, now)
    if use is None:
        return f"not measured: {status.gpu or 'the sampler has written nothing'}"
    low, high = f"{use.low_pct:.0f}", f"{use.high_pct:.0f}"
    return f"{low if low == high else f'{low} to {high}'} % over the last {LOOK_BACK.seconds // 60} min"


def spoken_lines(check: BedtimeCheck, zone_name: str) -> list[str]:
    """Return the check as a few readable lines, times in the plan's zone."""

    def local(text: str) -> str:
        return f"{parse_utc(text).astimezone(ZoneInfo(zone_name)):%H:%M}"

    def between(ends: Ends) -> str:
        low, middle, high = local(ends.low), local(ends.middle), local(ends.high)
        return middle if low == high else f"{middle} ({low} to {high})"

    trend = {True: "falling", False: "NOT falling", None: "too few values to say"}[check.loss_falling]
    figures = "" if check.loss_last is None else f" ({check.loss_first:.4f} to {check.loss_last:.4f})"
    lines = [
        f"{check.word}: {check.action}",
        f"night        {check.night}, checked at {local(check.at)}",
        f"alive        {'yes' if check.alive else 'no'}, last in {check.stage}",
        f"utilisation  {check.utilisation}",
        f"loss         {trend}{figures}",
    ]
    if check.epochs:
        low, middle, high, planned = check.epochs
        lines.append(f"epochs       {middle:g} ({low:g} to {high:g}) of {planned:g} planned")
    elif check.work:
        low, middle, high = check.work
        lines.append(f"work         {middle:.0%} ({low:.0%} to {high:.0%}) of what is planned")
    lines += [f"ends         {title}: {between(ends)}" for title, ends in check.stage_ends.items()]
    lines.append(f"hands over   {between(check.hand_over)}, {local(check.deadline)} at the latest")
    if check.lost_in_a_crash_min is not None:
        lines.append(f"a crash now  would cost {check.lost_in_a_crash_min:.0f} min of training")
    lines += [f"disk         {check.disk}", f"GPU memory   {check.memory}"]
    if check.data_wait is not None:
        lines.append(f"data         {check.data_wait:.0%} of the time so far went into loading")
    return lines


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
