"""Small exact statistics on paired differences; the unit is the query."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

N_MIN = 20
"""Fewer queries than this are not a measurement."""
N_SKEW_SAFE = 120
"""Below this, negative skew makes a t interval too short (9.7 % errors at nominal 2.5 % and n = 24)."""
FLIPS = 10_000


@dataclass(frozen=True)
class Interval:
    """Mean of paired differences with its 95 % t interval."""

    mean: float
    low: float
    high: float
    n: int
    sd: float
    skew: float


def t_interval(differences: Sequence[float] | Floats, confidence: float = 0.95) -> Interval:
    """Return the two-sided t interval of the mean; with no spread it is the mean itself.

    Raises ValueError for fewer than two differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size < 2:
        raise ValueError("an interval needs at least two differences")
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    half = float(stats.t.ppf(0.5 + confidence / 2, values.size - 1)) * sd / math.sqrt(values.size)
    skew = float(stats.skew(values)) if sd > 1e-9 * abs(mean) else 0.0
    return Interval(mean, mean - half, mean + half, int(values.size), sd, skew)


def sign_flip_p(differences: Sequence[float] | Floats, seed: int, flips: int = FLIPS) -> float:
    """Return the two-sided p of the paired sign-flip randomisation test (Fisher 1935)."""
    values = np.asarray(differences, dtype=np.float64)
    rng = np.random.default_rng(seed)
    observed = abs(values.sum())
    hits = 0
    for start in range(0, flips, 1000):
        signs = rng.integers(0, 2, size=(min(1000, flips - start), values.size)) * 2 - 1
        hits += int((np.abs(signs @ values) >= observed - 1e-12).sum())
    return (hits + 1) / (flips + 1)


def johnson_t(differences: Sequence[float] | Floats) -> float:
    """Return Johnson's skew-corrected t of the mean against 0 (Johnson 1978, JASA 73:536)."""
    values = np.asarray(differences, dtype=np.float64)
    n, mean, variance = values.size, float(values.mean()), float(values.var(ddof=1))
    if variance <= (1e-9 * mean) ** 2:  # equal up to rounding
        return math.inf if mean > 0 else 0.0
    third = float(((values - mean) ** 3).mean())
    shift = third / (6 * variance * n) + third * mean**2 / (3 * variance**2)
    return (mean + shift) / math.sqrt(variance / n)


def excludes_zero_with_skew(differences: Sequence[float] | Floats) -> bool:
    """Return whether the skew-corrected one-sided 97.5 % test still finds a gain."""
    values = np.asarray(differences, dtype=np.float64)
    return bool(johnson_t(values) > stats.t.ppf(0.975, values.size - 1))


def minimum_detectable_effect(sd: float, n: int) -> float:
    """Return the gain that n queries of this spread show with 80 % power at two-sided 5 %."""
    return float((stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.80, n - 1)) * sd / math.sqrt(n))


def percentile_upper_bound(values: Sequence[float] | Floats, q: float, confidence: float = 0.95) -> float:
    """Return an upper confidence bound of the q quantile by order statistic (the 962nd of 1,000 for .95).

    Infinite where there are too few values to bound it.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    rank = int(stats.binom.ppf(confidence, ordered.size, q)) + 1
    return float(ordered[rank - 1]) if rank <= ordered.size else math.inf
