"""Differences per query whose true mean is known: what the judge's statistics are calibrated on.

Every shape has mean 0 and standard deviation 1 and is scaled by whoever draws; a gain is added to it.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.dataset import Candidate, Query
from models.scorers import Request
from verdict.scored import ScoredSplit

Floats = NDArray[np.float64]
Size = tuple[int, ...]
Shape = Callable[[np.random.Generator, Size], Floats]
RANKS = {"hurt": 3, "same": 1, "helped": 0}
"""Where the one relevant of four items stands, by what a permuted modality did to the query; 1 with it."""


def normal(rng: np.random.Generator, size: Size) -> Floats:
    """Return normal differences."""
    return rng.normal(0, 1, size)


def long_tailed(rng: np.random.Generator, size: Size) -> Floats:
    """Return symmetric differences with long tails: Student's t with 5 degrees of freedom."""
    return rng.standard_t(5, size) / np.sqrt(5 / 3)


def mostly_unchanged(rng: np.random.Generator, size: Size) -> Floats:
    """Return symmetric differences of which 70 % are exactly 0."""
    return np.where(rng.random(size) < 0.3, rng.normal(0, np.sqrt(1 / 0.3), size), 0.0)


def gamma(shape: float) -> Shape:
    """Return gamma differences of skew 2 / sqrt(shape); a shape of 1 is the exponential."""
    return lambda rng, size: (rng.gamma(shape, 1, size) - shape) / np.sqrt(shape)


def lognormal(sigma: float) -> Shape:
    """Return log-normal differences; sigma 1 has skew 6.2."""
    mean, factor = np.exp(sigma**2 / 2), np.exp(sigma**2)
    return lambda rng, size: (rng.lognormal(0, sigma, size) - mean) / (mean * np.sqrt(factor - 1))


def rare_losses(share: float, spread: float, gains: Shape = normal) -> Shape:
    """Return mostly small gains and a share of large losses; `spread` is the gains' standard deviation."""
    loss = np.sqrt((1 - (1 - share) * spread**2) * (1 - share) / share)
    gain = share * loss / (1 - share)

    def draw(rng: np.random.Generator, size: Size) -> Floats:
        lost = rng.random(size) < share
        return np.where(lost, -loss, gain + spread * gains(rng, size))

    return draw


def mirrored(shape: Shape) -> Shape:
    """Return a shape with gains and losses exchanged."""
    return lambda rng, size: -shape(rng, size)


SYMMETRIC: Mapping[str, Shape] = {
    "normal": normal,
    "t of 5 degrees": long_tailed,
    "70 % unchanged": mostly_unchanged,
}
POSITIVE: Mapping[str, Shape] = {
    "exponential": gamma(1),
    "gamma of skew 2.6": gamma(0.6),
    "log-normal": lognormal(1),
    "5 % large gains": mirrored(rare_losses(0.05, 0.5)),
}
NEGATIVE: Mapping[str, Shape] = {
    "-gamma of skew 1": mirrored(gamma(4)),
    "-exponential": mirrored(gamma(1)),
    "-gamma of skew 2.6": mirrored(gamma(0.6)),
    "-gamma of skew 3.7": mirrored(gamma(0.3)),
    "-log-normal, sigma .5": mirrored(lognormal(0.5)),
    "-log-normal, sigma 1": mirrored(lognormal(1)),
    "3 % losses, gains alike": rare_losses(0.03, 0.12),
    "3 % losses": rare_losses(0.03, 0.5),
    "5 % losses": rare_losses(0.05, 0.5),
    "8 % losses, gains alike": rare_losses(0.08, 0.12),
    "8 % losses": rare_losses(0.08, 0.5),
    "3 % losses, skewed gains": rare_losses(0.03, 0.4, gamma(1)),
    "8 % losses, skewed gains": rare_losses(0.08, 0.4, gamma(1)),
}


def trials(rng: np.random.Generator, count: int, queries: int, shape: Shape, shared: float = 0.5) -> Floats:
    """Return trials without a true gain, shape (count, queries); a share of the variance is the query's own."""
    own, common = shape(rng, (count, queries)), shape(rng, (1, queries))
    return np.sqrt(shared) * common + np.sqrt(1 - shared) * own


def tops(right: int, same: int, wrong: int) -> tuple[list[Query], list[Floats], list[Floats]]:
    """Return queries with constraints, and two systems' scores: the new one is right alone, equal, wrong alone."""
    pool = (Candidate("a", "", 1, 0.0, complies=True), Candidate("b", "", 0, 0.0, complies=False))
    good, bad = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    queries = [Query(f"q{number}", "", pool) for number in range(right + same + wrong)]
    new = [good] * (right + same) + [bad] * wrong
    return queries, new, [bad] * right + [good] * (same + wrong)


class Permuted:
    """A scorer of which it is known what a permuted modality does to each query."""

    encoders: Mapping[str, str] = {}
    modalities = ("text",)
    timed_path = ""

    def __init__(self, outcomes: Sequence[str]) -> None:
        self.outcomes = outcomes

    def encode(self, queries: Sequence[Query]) -> list[Request]:
        """Return requests that hold the scores."""
        outcomes = [self.outcomes[int(query.id)] for query in queries]
        return [Request({"text": ranked(RANKS[one]).astype(np.float32)}) for one in outcomes]

    def score_many(self, requests: Sequence[Request]) -> list[Floats]:
        """Return the scores that the requests hold."""
        return [request.parts["text"].astype(np.float64) for request in requests]


def ranked(place: int) -> Floats:
    """Return scores of four items that put the first of them at this place, counted from 0."""
    others = [score for score in (4.0, 3.0, 2.0, 1.0) if score != 4.0 - place]
    return np.array([4.0 - place, *others])


def scored_split(hurt: int, same: int, helped: int) -> tuple[Permuted, ScoredSplit]:
    """Return a scorer and a split of which so many queries lose, keep and win nDCG by permuting."""
    outcomes = ["hurt"] * hurt + ["same"] * same + ["helped"] * helped
    pool = tuple(Candidate(str(place), "words", int(place == 0), 0.0) for place in range(4))
    queries = [Query(str(number), "", pool) for number in range(len(outcomes))]
    new, labels = [ranked(RANKS["same"])] * len(queries), [query.relevance() for query in queries]
    return Permuted(outcomes), ScoredSplit(queries, [], new, new, labels)
