"""How often is a gain found where there is none, and where there is one? Part of `benchmarks.calibration`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_draws import NEGATIVE, POSITIVE, SYMMETRIC, Shape, trials
from nightshift.states import CriterionState, Metric
from schedules.plan import Criterion
from verdict.criteria import judge_gain
from verdict.statistics import excludes_zero, max_t_sign_flip_p

Floats = NDArray[np.float64]
SIZES = (24, 60, 120, 500)
COLUMNS = (10, *SIZES, 1000, 1550)
SD, WIDEST, BEYOND = 0.165, 0.18, 0.25
"""Spreads of the differences: the usual one, the widest seen on real data, and one never seen there."""
ANY = Criterion(metric=Metric.CANDIDATE_RECALL_AT_100, above=0.0)
ASKED = Criterion(metric=Metric.VALIDATION_NDCG, above=0.03)
TRIALS = 50
EVERYTHING = {**SYMMETRIC, **POSITIVE, **NEGATIVE}


@dataclass(frozen=True)
class Line:
    """One case: percentages by number of queries."""

    statistic: str
    case: str
    found: Mapping[int, float]
    repeats: int
    limit: float | None = None
    wanted: str = ""

    def row(self) -> dict[str, object]:
        """Return the line as it is printed."""
        cells = {f"n={n}": f"{self.found[n]:.1f}" if n in self.found else "" for n in COLUMNS}
        wanted = f"<= {self.limit:g}" if self.limit is not None else self.wanted
        return {"statistic": self.statistic, "case": self.case, **cells, "wanted": wanted, "of": self.repeats}

    def outside(self) -> bool:
        """Return whether a figure is above the limit by more than the simulation's own error explains."""
        if self.limit is None:
            return False
        share = self.limit / 100
        return max(self.found.values()) > self.limit + 300 * math.sqrt(share * (1 - share) / self.repeats)


def percent(hits: Sequence[bool] | NDArray[np.bool_]) -> float:
    """Return how many of a hundred."""
    return 100 * float(np.mean(hits))


def met(criterion: Criterion, differences_RQ: Floats) -> NDArray[np.bool_]:
    """Return whether the judge calls each row a gain; rows under one standard error are not asked."""
    errors = differences_RQ.std(axis=1, ddof=1) / math.sqrt(differences_RQ.shape[1])
    asked = differences_RQ.mean(axis=1) > errors
    for row in np.flatnonzero(asked):
        asked[row] = judge_gain(criterion, differences_RQ[row], seed=int(row)).state is CriterionState.MET
    return asked


def gains(
    repeats: int,
    seed: int,
    shapes: Mapping[str, Shape],
    criterion: Criterion,
    sd: float,
    gain: float = 0.0,
    limit: float | None = None,
) -> list[Line]:
    """Return how often a true gain of this size is MET."""
    lines = []
    for name, shape in shapes.items():
        found = {}
        for n in SIZES:
            drawn = sd * shape(np.random.default_rng([seed, n]), (repeats, n))
            found[n] = percent(met(criterion, gain + drawn))
        case = f"{name}, sd {sd:g}, asked {criterion.asked}"
        lines.append(Line(f"MET at a true gain of {gain:g}", case, found, repeats, limit))
    return lines


def false_gains(repeats: int, seed: int) -> list[Line]:
    """Return how often no gain at all is MET."""
    return [
        *gains(repeats, seed, EVERYTHING, ANY, SD, limit=2.5),
        *gains(repeats, seed, EVERYTHING, ASKED, SD, limit=2.5),
        *gains(repeats, seed + 1, NEGATIVE, ANY, WIDEST, limit=2.5),
        *gains(repeats, seed + 2, NEGATIVE, ANY, BEYOND),
    ]


def power(repeats: int, seed: int) -> list[Line]:
    """Return how often a true gain of .05 is MET."""
    return gains(max(60, repeats // 12), seed, EVERYTHING, ASKED, SD, gain=0.05)


def selection(repeats: int, seed: int) -> list[Line]:
    """Return how often the best of 50 trials on validation looks like a gain, though none has one."""
    fewer, lines = max(60, repeats // 10), []
    for name in ("normal", "gamma of skew 2.6", "3 % losses"):
        rates = {n: _selected(fewer, np.random.default_rng([seed, n]), n, EVERYTHING[name]) for n in SIZES}
        for what, limit in {
            "point > .03 on validation": None,
            "MET on validation": None,
            "MET on test, judged once": 2.5,
            "max-t p < .05 on validation": None if name in NEGATIVE else 5.0,
            "max-t p < .05, MET and careful for all trials": 2.5,
        }.items():
            found = {n: rate[what] for n, rate in rates.items()}
            lines.append(
                Line(f"best of {TRIALS} trials without a gain", f"{what}: {name}", found, fewer, limit)
            )
    return lines


def _selected(repeats: int, rng: np.random.Generator, n: int, shape: Shape) -> dict[str, float]:
    validation, test, p = np.empty((repeats, n)), np.empty((repeats, n)), np.empty(repeats)
    for repeat in range(repeats):
        both = SD * trials(rng, TRIALS, 2 * n, shape)
        best = int(both[:, :n].mean(axis=1).argmax())
        validation[repeat], test[repeat] = both[best, :n], both[best, n:]
        p[repeat] = max_t_sign_flip_p(both[:, :n], seed=repeat, flips=1000)[best]
    passed = met(ASKED, validation)
    careful = np.array([excludes_zero(row, TRIALS) for row in validation])
    return {
        "point > .03 on validation": percent(validation.mean(axis=1) > 0.03),
        "MET on validation": percent(passed),
        "MET on test, judged once": percent(met(ASKED, test)),
        "max-t p < .05 on validation": percent(p < 0.05),
        "max-t p < .05, MET and careful for all trials": percent((p < 0.05) & passed & careful),
    }
