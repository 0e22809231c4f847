"""A night as its run directory shows it, for the forecast: what each stage has done, and the signs of trouble."""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy

from nightshift.events import Event, read_events
from nightshift.instant import parse_utc
from nightshift.rundir import RunDir
from nightshift.states import Ending, Metric
from tasks.durations import stage_seconds
from tasks.forecast_model import NightSeen, Signs, StageSeen, trouble
from tasks.gpu_diagnosis import diagnose, read_span, spent_between
from tasks.night_seconds import read_seconds
from tasks.night_status import NightStatus, StageStatus
from tasks.pace import Pace
from tasks.stage_standing import read_memory
from tasks.storage import short_of_space
from verdict.ledger import read_ledger
from verdict.seal import Seal
from verdict.utilisation import Utilisation, read_samples, utilisation

WELL = (Ending.FINISHED, Ending.STOPPED_AT_DEADLINE)
FEWEST_LOSSES = 6
"""Below this many loss values no trend is claimed."""
LOOK_BACK = timedelta(minutes=15)
BLOCKS = 5
"""The rate's spread is that between so many parts of a stage's life."""
LEAST_SPREAD = 0.02


def loss_trend(losses: list[float]) -> bool | None:
    """Return whether the loss falls (Kendall's tau < 0, p < .05), or None for too few values."""
    if len(losses) < FEWEST_LOSSES:
        return None
    result = scipy.stats.kendalltau(range(len(losses)), losses)
    return bool(result.statistic < 0 and result.pvalue < 0.05)


def losses_of(events: list[Event]) -> list[float]:
    """Return the training losses that a trainer told, in order."""
    return [event.values["loss"] for event in events if event.kind == "metrics" and "loss" in event.values]


def stage_losses(run: RunDir, stage: StageStatus) -> list[float]:
    """Return the training losses of one stage, none where it has none."""
    return losses_of(read_events(run.stage(stage.name).events)[0])


def rate_spread(events: list[Event]) -> float:
    """Return the standard deviation of the logarithm of a stage's rate, from the parts of its life."""
    progress = [event for event in events if event.kind == "progress"]
    if len(progress) < 2 * BLOCKS:
        return 0.1
    cuts = [progress[int(i)] for i in np.linspace(0, len(progress) - 1, BLOCKS + 1)]
    rates = [
        (b.samples - a.samples) / seconds
        for a, b in pairwise(cuts)
        if (seconds := (b.at - a.at).total_seconds()) > 0 and b.samples > a.samples
    ]
    return max(LEAST_SPREAD, float(np.std(np.log(rates)))) if len(rates) > 1 else 0.1


def night_seen(run: RunDir, seal: Seal, status: NightStatus, now: datetime) -> NightSeen:
    """Return the night as the forecast's code reads it; all in night seconds after `now`."""
    hand_over = parse_utc(status.hand_over)
    budget = seal.budget(hand_over)
    took = stage_seconds(Path(seal.home), seal, run)
    slots = budget.table.slots
    elastic = next(i for i, slot in enumerate(slots) if slot.stage.elastic)
    stages = []
    for index, (slot, stage) in enumerate(zip(slots, status.stages, strict=True)):
        started = parse_utc(stage.start) if stage.start else max(now, slot.start)
        events = read_events(run.stage(stage.name).events)[0] if stage.start and not stage.end else []
        stages.append(
            StageSeen(
                name=stage.name,
                elastic=slot.stage.elastic,
                behind=index > elastic,
                planned_s=60 * slot.planned_minutes,
                deadline_s=(budget.deadline(index, started) - now).total_seconds(),
                started=bool(stage.start),
                ended=bool(stage.end) or bool(stage.ending),
                spent_s=max(0.0, (now - started).total_seconds()),
                done=min(1.0, stage.samples / stage.total) if stage.total else 0.0,
                rate_spread=rate_spread(events),
                took_s=tuple(seconds * seal.speed for seconds in took.get(stage.name, ())),
            )
        )
    return NightSeen(
        tuple(stages),
        judge_s=seal.costs["judge_s"] * seal.speed,
        hand_over_cost_s=seal.costs["hand_over_s"] * seal.speed,
        deadline_s=(hand_over - now).total_seconds(),
    )


def pace_of(events: list[Event], seal: Seal) -> Pace:
    """Return what these events show of a trainer, in real seconds after the night's start."""
    pace = Pace()
    for event in events:
        at_s = (event.at - seal.window.start).total_seconds() / seal.speed
        if event.kind == "started":
            pace.begin(at_s)
        pace.hear(event, at_s, at_s)
    return pace


def recent_use(run: RunDir, seal: Seal, now: datetime) -> Utilisation | None:
    """Return the GPU's utilisation over the last minutes, or None where nothing was sampled."""
    return utilisation(read_samples(run.gpu_samples), now - LOOK_BACK, now, seal.speed, seal.gpus)


def night_signs(run: RunDir, seal: Seal, status: NightStatus, now: datetime, alive: bool) -> Signs:
    """Return what a person should know of."""
    broken = _broken(seal, status, now)
    handed_over = bool(status.handed_over_at)
    dead = "" if alive or handed_over else "The nightwatch is not running: run `nightshift resume`."
    lost = (
        f"The GPU was lost ({run.gpu_lost.read_text()}): restart the machine."
        if run.gpu_lost.is_file()
        else ""
    )
    signs = Signs(dead=dead, broken=broken, lost_gpu=lost)
    stage = next((stage for stage in status.stages if stage.start and not stage.end), None)
    if stage is None or handed_over:
        return signs
    folder = run.stage(stage.name)
    events = read_events(folder.events)[0]
    losses = losses_of(events)
    now_s = (now - seal.window.start).total_seconds() / seal.speed
    seen = trouble(read_memory(folder).standing, pace_of(events, seal), now_s)
    short = short_of_space(run, folder)
    return replace(
        seen,
        dead=dead,
        broken=broken,
        lost_gpu=lost,
        disk=f"{short}: make room now." if short else "",
        loss="" if loss_trend(losses) is not False else f"The loss does not fall: {_from_to(losses)}.",
        utilisation=_idle_gpu(run, seal, status, now),
    )


def _broken(seal: Seal, status: NightStatus, now: datetime) -> str:
    """Return which stage ended badly or cannot be started any more, and what to do; an empty text where none."""
    for stage in status.stages:
        if stage.ending == Ending.NOT_STARTED:
            told = stage.notes[-1] if stage.notes else "not started"
            return f"{stage.title}: {told}. Look at `nightshift watch`, then start the night again."
        if stage.ending and stage.ending not in WELL:
            log = f"stages/{stage.name}/output.log"
            return f"{stage.title} ended as {stage.ending}: read {log}, mend it, start the night again."
    if status.handed_over_at:
        return ""
    budget = seal.budget(parse_utc(status.hand_over))
    for index, stage in enumerate(status.stages):
        why = None if stage.start else budget.why_not(index, now)
        if why:
            return f"{stage.title} will not be started: {why}. The night hands over without it."
    return ""


def _from_to(losses: list[float]) -> str:
    return (
        f"{losses[0]:.4g} at first, {losses[-1]:.4g} now" if all(map(math.isfinite, losses)) else "not finite"
    )


def _idle_gpu(run: RunDir, seal: Seal, status: NightStatus, now: datetime) -> str:
    """Return why the GPU is less busy than the plan asks, with the likely cause; an empty text where it is busy."""
    asked = [c.above for c in seal.night.criteria if c.metric is Metric.GPU_UTILISATION_PCT and c.above]
    stage = next((stage for stage in status.stages if stage.start and not stage.end), None)
    use = recent_use(run, seal, now) if asked and stage else None
    if use is None or stage is None or use.high_pct >= asked[0]:
        return ""
    begin = max(parse_utc(stage.start), now - LOOK_BACK)
    entries = read_ledger(run.ledger, seal.nonce)
    pieces = read_seconds(run, [s.name for s in status.stages], seal.window.start, now, entries).pieces()
    cause = diagnose(read_span(run.gpu_samples, begin, now), spent_between(pieces, begin, now))
    return f"The GPU is busy {use.high_pct:.0f} % of the time, {asked[0]:g} % is asked. {cause.sentence}"
