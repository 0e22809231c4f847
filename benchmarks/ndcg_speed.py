"""How much faster is our nDCG@10 than scikit-learn's, on equal scores? One ratio, from one run.

`python -m benchmarks.ndcg_speed [QUERIES] [DOCUMENTS]`; both count ties by expectation and agree to 1e-9.
"""

import sys
from collections.abc import Callable

import numpy as np

from models.metrics import ndcg_per_query
from nightshift.instant import boottime_s
from verdict.controls import independent_ndcg


def seconds(work: Callable[[], object]) -> float:
    """Return the real seconds that one call takes."""
    begin = boottime_s()
    work()
    return boottime_s() - begin


def main(queries: int = 2000, documents: int = 1000) -> None:
    """Print both times and their ratio."""
    rng = np.random.default_rng(1)
    relevance = [rng.integers(0, 4, documents) for _ in range(queries)]
    scores = [np.round(rng.normal(size=documents), 2) for _ in range(queries)]
    ours, theirs = [], []
    for _ in range(3):
        ours.append(seconds(lambda: ndcg_per_query(scores, relevance)))
        theirs.append(
            seconds(lambda: [independent_ndcg(s, r) for s, r in zip(scores, relevance, strict=True)])
        )
    mine, other = float(np.median(ours)), float(np.median(theirs))
    print(f"nDCG@10 of {queries} queries x {documents} documents, median of 3 interleaved runs")
    print(f"ours {mine:.2f} s, scikit-learn {other:.2f} s: ratio {other / mine:.1f}")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
