"""Small exact statistics on paired differences; the unit is the query."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]

N_MIN = 20
"""Fewer queries than this are not a measurement."""
N_MIN_DOMAIN = 10
"""A sub-domain with fewer queries is not asked whether it was harmed."""
SPREAD = 0.165
"""Per-query differences of nDCG@10 on real data have a standard deviation of .15 to .18. Where few queries
show less, a loss that is rare and large may simply not be among them."""
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


@cache
def t_quantile(confidence: float, freedom: int) -> float:
    """Return the quantile of Student's t."""
    return float(scipy.stats.t.ppf(confidence, freedom))


def t_interval(differences: Sequence[float] | Floats, confidence: float = 0.95) -> Interval:
    """Return the two-sided t interval of the mean; with no spread it is the mean itself.

    Raises ValueError for fewer than two differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size < 2:
        raise ValueError("an interval needs at least two differences")
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    half = t_quantile(0.5 + confidence / 2, values.size - 1) * sd / math.sqrt(values.size)
    centred = values - mean
    skew = float((centred**3).mean() / (centred**2).mean() ** 1.5) if sd > 1e-9 * abs(mean) else 0.0
    return Interval(mean, mean - half, mean + half, int(values.size), sd, skew)


def cluster_means(values: Sequence[float] | Floats, keys: Sequence[Hashable]) -> Floats:
    """Return the mean of each key's values, in the order in which the keys first appear, shape (keys,).

    Near-duplicate queries share a key: they are one observation, and counted as many they make every
    interval too short. Raises ValueError where the lengths differ.
    """
    clusters: dict[Hashable, list[float]] = {}
    for value, key in zip(np.asarray(values, dtype=np.float64).tolist(), keys, strict=True):
        clusters.setdefault(key, []).append(value)
    return np.array([math.fsum(each) / len(each) for each in clusters.values()], dtype=np.float64)


def _flipped_sums(rng: np.random.Generator, flips: int, values_TQ: Floats) -> Floats:
    """Return the sums of T rows under random signs, one sign per column, shape (flips, T)."""
    queries = values_TQ.shape[1]
    drawn = np.frombuffer(rng.bytes(-(-flips * queries // 8)), dtype=np.uint8)
    bits = np.unpackbits(drawn, count=flips * queries).reshape(flips, queries).astype(np.float64)
    return np.asarray(2 * (bits @ values_TQ.T) - values_TQ.sum(axis=1), dtype=np.float64)


def sign_flip_p(differences: Sequence[float] | Floats, seed: int, flips: int = FLIPS) -> float:
    """Return the two-sided p of the paired sign-flip randomisation test (Fisher 1935)."""
    values = np.asarray(differences, dtype=np.float64)
    return float(max_t_sign_flip_p(values[None, :], seed, flips)[0])


def max_t_sign_flip_p(
    differences_TQ: Sequence[Sequence[float]] | Floats, seed: int, flips: int = FLIPS
) -> Floats:
    """Return the two-sided p of each of T trials over the same Q queries, adjusted for all T, shape (T,).

    Single-step max-t (Westfall and Young 1993): one sign per query for all trials, so that what they share
    is kept. For choosing among trials where no test split is left; one trial alone gives `sign_flip_p`.
    """
    values_TQ = np.asarray(differences_TQ, dtype=np.float64)
    norms_T = np.sqrt((values_TQ**2).sum(axis=1))
    unit_TQ = values_TQ / np.where(norms_T > 0, norms_T, 1.0)[:, None]  # its sum rises and falls with t
    observed_T = np.abs(unit_TQ.sum(axis=1))
    rng, hits_T = np.random.default_rng(seed), np.zeros(len(values_TQ), dtype=np.int64)
    for start in range(0, flips, 1000):
        highest = np.abs(_flipped_sums(rng, min(1000, flips - start), unit_TQ)).max(axis=1)
        hits_T += (highest[:, None] >= observed_T - 1e-12).sum(axis=0)
    return np.asarray((hits_T + 1) / (flips + 1), dtype=np.float64)


def _hall_t(interval: Interval) -> float:
    """Return Hall's skew-corrected t of the mean against 0 (Hall 1992, JRSS B 54:221).

    It rises with the mean under any skew; Johnson's (1978) turns back, and then no gain is large enough.
    """
    n, skew, ratio = interval.n, interval.skew, interval.mean / interval.sd
    moved = ratio + skew * ratio**2 / 3 + skew**2 * ratio**3 / 27 + skew / (6 * n)
    return math.sqrt(n) * moved


def careful_t(differences: Sequence[float] | Floats) -> float:
    """Return the t of the mean against 0, made smaller where losses would make the plain one too large.

    Its spread is `SPREAD` at least, for losses too rare to be seen; negative skew, losses that are seen,
    is corrected after Hall. Without either, losses in 3 % of queries pass for a gain in 46 % at n = 24.
    Not covered: losses unseen in 60 queries or fewer where the true spread is .25, 10 % instead of 2.5 %.
    """
    interval = t_interval(differences)
    floored = interval.mean / max(interval.sd, SPREAD) * math.sqrt(interval.n)
    return min(floored, _hall_t(interval)) if interval.skew < 0 else floored


def excludes_zero(differences: Sequence[float] | Floats, trials: int = 1) -> bool:
    """Return whether the careful one-sided 97.5 % test finds a gain, in the best of so many trials (Bonferroni)."""
    return careful_t(differences) > t_quantile(1 - 0.025 / trials, len(differences) - 1)


def queries_needed(differences: Sequence[float] | Floats) -> int:
    """Return about how many queries of this kind would let `excludes_zero` find their gain, a mean above 0."""
    interval = t_interval(differences)
    quantile = t_quantile(0.975, interval.n - 1)
    seen = (quantile * max(interval.sd, SPREAD) / interval.mean) ** 2
    if interval.skew >= 0:
        return math.ceil(seen)
    skew, ratio = interval.skew, interval.mean / interval.sd
    slope = ratio + skew * ratio**2 / 3 + skew**2 * ratio**3 / 27
    root = (quantile + math.sqrt(quantile**2 - 2 / 3 * slope * skew)) / (2 * slope)
    return math.ceil(max(seen, root**2))


def harmed(differences_by_domain: Mapping[str, Sequence[float] | Floats], level: float = 0.05) -> list[str]:
    """Return the sub-domains that lost for certain: one-sided upper bound of the mean below 0, after Holm.

    Domains with fewer than 10 queries are not asked. Rare large gains cannot pass for harm: `careful_t`.
    """
    asked = {
        name: np.asarray(values, dtype=np.float64)
        for name, values in differences_by_domain.items()
        if len(values) >= N_MIN_DOMAIN
    }
    p = {name: float(scipy.stats.t.sf(careful_t(-values), values.size - 1)) for name, values in asked.items()}
    lost: set[str] = set()
    adjusted = 0.0
    for rank, name in enumerate(sorted(p, key=lambda name: p[name])):
        adjusted = max(adjusted, (len(p) - rank) * p[name])
        if adjusted < level:
            lost.add(name)
    return [name for name in asked if name in lost]


def widened_sd(sd: float, n: int, confidence: float = 0.95) -> float:
    """Return the upper confidence bound of a standard deviation that n values gave (chi-square).

    For a minimum detectable effect whose spread is known from a cheap proxy only. Raises ValueError for
    fewer than two values.
    """
    if n < 2:
        raise ValueError("a spread needs at least two values")
    return float(sd * math.sqrt((n - 1) / scipy.stats.chi2.ppf(1 - confidence, n - 1)))


def minimum_detectable_effect(sd: float, n: int) -> float:
    """Return the gain that n queries of this spread show with 80 % power at two-sided 5 %."""
    return (t_quantile(0.975, n - 1) + t_quantile(0.80, n - 1)) * sd / math.sqrt(n)


def percentile_upper_bound(values: Sequence[float] | Floats, q: float, confidence: float = 0.95) -> float:
    """Return an upper confidence bound of the q quantile by order statistic (the 962nd of 1,000 for .95).

    Infinite where there are too few values to bound it.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    rank = int(scipy.stats.binom.ppf(confidence, ordered.size, q)) + 1
    return float(ordered[rank - 1]) if rank <= ordered.size else math.inf
