"""How the rest of a night will go, from what it has shown so far: ranges by drawing, and one word. No file, no clock.

All seconds are night seconds after the moment of the forecast. A range is meant to hold 80 % of nights. How long a
stage takes is drawn from a log-normal: around what earlier nights took, and before there were any, around the share
of its planned time that such a stage takes in the published model of nights (`tasks/fault_model.py`). Whether the
ranges hold what they promise is measured by `nightshift simulate --forecast`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.pace import Pace
from tasks.supervision import Standing

DRAWS = 400
LOW_PCT, HIGH_PCT = 8, 92
"""Of the draws, which know of no fault that is still to come; of simulated nights 80 % end between them."""
BEFORE_SHARE, BEHIND_SHARE = 0.5, 0.28
"""Median share of its planned time that a stage before, or behind, the elastic one takes."""
SPREAD, JUDGE_SPREAD = 0.4, 0.3
"""Standard deviation of the logarithm of a stage's and the judge's length, before any was seen."""
PRIOR_NIGHTS = 2.0
"""So many nights is that prior worth against those that were seen."""
LEAST_SILENCE_S, SILENT_SHARE = 60.0, 0.5
"""A silence longer than both, the second as a share of what is allowed, is worth a look."""
SLEEP, LOOK, ACT = "SLEEP", "LOOK", "ACT"

Draws = NDArray[np.float64]


@dataclass(frozen=True)
class Range:
    """Where a value will be, with the middle of the draws."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, draws: Draws) -> "Range":
        """Return the range that is meant to hold 80 % of nights."""
        low, middle, high = np.percentile(draws, [LOW_PCT, 50, HIGH_PCT])
        return cls(float(low), float(middle), float(high))


@dataclass(frozen=True)
class StageSeen:
    """One stage as it stands."""

    name: str
    elastic: bool
    behind: bool
    """Behind the elastic stage."""
    planned_s: float
    deadline_s: float
    """When it must end."""
    started: bool = False
    ended: bool = False
    spent_s: float = 0.0
    """Since it started."""
    done: float = 0.0
    """Share of its own planned work, 0..1; 0 where it does not tell."""
    rate_spread: float = 0.05
    """Standard deviation of the logarithm of its rate."""
    took_s: tuple[float, ...] = ()
    """How long it took in earlier nights."""


@dataclass(frozen=True)
class NightSeen:
    """A night as it stands."""

    stages: tuple[StageSeen, ...]
    judge_s: float
    hand_over_cost_s: float
    deadline_s: float
    """Until the hand-over is due."""
    judge_took_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class Times:
    """When what will end."""

    stages: dict[str, Range]
    """Stages that have not ended yet."""
    hand_over: Range
    work: Range | None
    """Share of its planned work that the elastic stage will have done, None where it does not tell."""


def forecast_times(night: NightSeen, seed: int = 0) -> Times:
    """Return when each stage and the night will end."""
    rng = np.random.default_rng(seed)
    end = np.zeros(DRAWS)
    ends: dict[str, Range] = {}
    work = None
    for stage in night.stages:
        if stage.ended:
            continue
        if stage.started and stage.done > 0:
            end, done = _worked(stage, rng)
            work = Range.of(done) if stage.elastic else work
        else:
            end = _end(stage, end, rng)
        ends[stage.name] = Range.of(end)
    judge = _length(night.judge_s, JUDGE_SPREAD, night.judge_took_s, rng)
    hand_over = np.minimum(end + judge + night.hand_over_cost_s, np.maximum(night.deadline_s, end))
    return Times(ends, Range.of(hand_over), work)


def _worked(stage: StageSeen, rng: np.random.Generator) -> tuple[Draws, Draws]:
    """Return when a stage that tells its work ends, at its deadline at the latest, and the share that is done then."""
    rates = stage.done / max(stage.spent_s, 1.0) * np.exp(rng.normal(0.0, stage.rate_spread, DRAWS))
    ends = np.clip((1 - stage.done) / rates, 0.0, max(0.0, stage.deadline_s))
    return ends, np.minimum(1.0, stage.done + rates * ends)


def _end(stage: StageSeen, begin: Draws, rng: np.random.Generator) -> Draws:
    """Return when a stage ends that does not tell its work."""
    if stage.elastic:
        return np.maximum(begin, stage.deadline_s)
    share = BEHIND_SHARE if stage.behind else BEFORE_SHARE
    lengths = _length(share * stage.planned_s, SPREAD, stage.took_s, rng)
    if stage.started:  # as long as this already: only longer ones remain
        longer = lengths[lengths > stage.spent_s]
        drawn = rng.choice(longer, DRAWS) if len(longer) else np.full(DRAWS, 1.25 * stage.spent_s)
        lengths = drawn - stage.spent_s
    return np.minimum(begin + lengths, np.maximum(begin, stage.deadline_s))


def _length(median_s: float, spread: float, took_s: Sequence[float], rng: np.random.Generator) -> Draws:
    """Return lengths drawn around what was seen, the prior counting as `PRIOR_NIGHTS` nights."""
    if not took_s:
        return np.exp(rng.normal(np.log(max(median_s, 1.0)), spread, DRAWS))
    logs = np.log(np.maximum(took_s, 1.0))
    squares = PRIOR_NIGHTS * spread**2 + float(((logs - logs.mean()) ** 2).sum())
    variance = squares / (PRIOR_NIGHTS + len(logs) - 1) * (1 + 1 / len(logs))
    return np.exp(rng.normal(logs.mean(), np.sqrt(variance), DRAWS))


@dataclass(frozen=True)
class Signs:
    """What a person should know of before going to bed; a sign that is not there is an empty text."""

    dead: str = ""
    broken: str = ""
    """A stage ended badly, or will not be started."""
    lost_gpu: str = ""
    disk: str = ""
    silent: str = ""
    restarts: str = ""
    """Started again, and not further since."""
    loss: str = ""
    slow: str = ""
    utilisation: str = ""


def trouble(standing: Standing, pace: Pace, now_s: float) -> Signs:
    """Return what a running trainer's restarts and silence say; `now_s` on the clock of its signs of life."""
    silent_s = 0.0 if pace.heard_s is None else now_s - pace.heard_s
    limit_s = pace.limit_s()
    silent = silent_s > max(LEAST_SILENCE_S, SILENT_SHARE * limit_s)
    stuck = standing.without_progress > 0 and standing.saved_step <= standing.saved_at_fault
    return Signs(
        silent=f"It has been silent for {silent_s:.0f} s; at {limit_s:.0f} s it is taken for hung and started again."
        if silent
        else "",
        restarts=f"It was started again {standing.restarts} times and is not further since: read its output.log."
        if stuck
        else "",
        slow="It has become a quarter slower than at its best: look for another process or for heat."
        if pace.slow
        else "",
    )


def word_for(signs: Signs) -> tuple[str, str]:
    """Return the word, and what to do."""
    for text in (signs.dead, signs.broken, signs.lost_gpu, signs.disk):
        if text:
            return ACT, text
    for text in (signs.silent, signs.restarts, signs.loss, signs.slow, signs.utilisation):
        if text:
            return LOOK, text
    return SLEEP, "Nothing needs you. Good night."
