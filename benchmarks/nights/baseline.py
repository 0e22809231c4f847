"""A V1.0 over which the model gains exactly so much: the known truth of the statistical nights."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.nights.edits import slimmed
from benchmarks.nights.lab import Lab
from models.metrics import ndcg_per_query
from nightshift.rundir import RunDir

Scores = list[NDArray[np.float64]]
STEPS = 30


def baseline_with_gain(lab: Lab, run: RunDir, gain: float, spread: float, count: int | None = None) -> Scores:
    """Return scores of V1.0 over which the model gains exactly this much on average, unevenly over queries.

    V1.0 is the model's own score, made better by the labels on some queries and worse by noise on others;
    how much worse is found by bisection.
    """
    split = lab.scored(run) if count is None else slimmed(lab.scored(run), count)
    rng = np.random.default_rng([lab.seed, 7])
    noise = [rng.normal(size=s.size) for s in split.new]
    helped = rng.random(len(split.new)) < 0.5
    scale = [float(np.std(s)) or 1.0 for s in split.new]
    low, high = 0.0, 8.0

    def scores(amount: float) -> Scores:
        return [
            own / size
            + (spread * 0.4 * np.sign(label - label.mean()) if better and gain < 0.02 else 0.0)
            + amount * n
            for own, size, label, better, n in zip(
                split.new, scale, split.relevance, helped, noise, strict=True
            )
        ]

    own = np.nanmean(ndcg_per_query(split.new, split.relevance))
    for _ in range(STEPS):
        middle = (low + high) / 2
        reached = own - np.nanmean(ndcg_per_query(scores(middle), split.relevance))
        low, high = (middle, high) if reached < gain else (low, middle)
    return scores(high)
