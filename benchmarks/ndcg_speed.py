"""How much faster is our nDCG@10 than ranx, scikit-learn and torchmetrics, on equal scores?

`python -m benchmarks.ndcg_speed [QUERIES] [DOCUMENTS]`. From scores and labels to nDCG@10 per query, one
thread; the gain 2^relevance - 1 is given to the others as the label. No ties: there all agree, and the
largest difference is printed. ranx stands three times: as its manual has it, with containers that were
filled and ranked beforehand; its compiled kernel fed with rankings made on the spot; and that kernel alone,
which does less work than the others (no ranking).
"""

import sys
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.record import keep, seconds
from models.metrics import ndcg_per_query

Floats = NDArray[np.float64]
K, RUNS = 10, 3


def ranx_kernel(scores: Floats, gains: Floats, ranked: bool) -> Callable[[], Floats]:
    """Return ranx's compiled nDCG@10 without its containers; it takes rankings: made inside, unless `ranked`."""
    from numba import set_num_threads
    from numba.typed import List
    from ranx.metrics import ndcg

    set_num_threads(1)
    truth = List()
    for row in gains:
        order = np.argsort(-row, kind="stable")
        truth.append(np.column_stack([order.astype(np.float64), row[order]]))

    def ranking() -> List:
        orders, run = np.argsort(-scores, axis=1), List()
        for order, row in zip(orders, scores, strict=True):
            run.append(np.column_stack([order.astype(np.float64), row[order]]))
        return run

    ready = ranking()
    ndcg(truth, ready, K, 1)
    return lambda: np.asarray(ndcg(truth, ready if ranked else ranking(), K, 1))


def ranx_evaluate(scores: Floats, gains: Floats) -> Callable[[], Floats]:
    """Return ranx as its manual has it: `evaluate(qrels, run, "ndcg@10")`, both containers made beforehand."""
    from ranx import Qrels, Run, evaluate

    ids = [f"d{number}" for number in range(scores.shape[1])]
    width = len(str(len(scores)))  # ranx sorts queries by name

    def nested(table: Floats) -> dict[str, dict[str, float]]:
        return {
            f"q{row:0{width}}": dict(zip(ids, values.tolist(), strict=True))
            for row, values in enumerate(table)
        }

    qrels, run = Qrels(nested(gains)), Run(nested(scores))
    evaluate(qrels, run, f"ndcg@{K}", threads=1)

    def work() -> Floats:
        evaluate(qrels, run, f"ndcg@{K}", threads=1)
        return np.array([run.scores[f"ndcg@{K}"][query] for query in run.get_query_ids()])

    return work


def scikit_ndcg(scores: Floats, gains: Floats) -> Callable[[], Floats]:
    """Return scikit-learn's, ties ignored as it allows, which is its faster way."""
    from sklearn.metrics import ndcg_score

    return lambda: np.array(
        [ndcg_score(g[None], s[None], k=K, ignore_ties=True) for g, s in zip(gains, scores, strict=True)]
    )


def torchmetrics_ndcg(scores: Floats, gains: Floats) -> Callable[[], Floats]:
    """Return torchmetrics', one call per query as its interface asks."""
    from torchmetrics.functional.retrieval import retrieval_normalized_dcg

    pairs = [
        (torch.from_numpy(s), torch.from_numpy(g.astype(np.int64)))
        for s, g in zip(scores, gains, strict=True)
    ]
    return lambda: np.array([float(retrieval_normalized_dcg(s, g, top_k=K)) for s, g in pairs])


def main(queries: int = 10_000, documents: int = 1_000) -> None:
    """Print and keep the median of interleaved runs of each, and the ratio to the fastest of the others."""
    rng = np.random.default_rng(1)
    relevance = rng.integers(0, 4, (queries, documents))
    gains = np.exp2(relevance) - 1
    scores = rng.permuted(np.tile(np.arange(documents, dtype=np.float64), (queries, 1)), axis=1)
    torch.set_num_threads(1)
    works = {
        "nightshift": lambda: ndcg_per_query(scores, relevance, K),
        "ranx": ranx_evaluate(scores, gains),
        "ranx, kernel and sorting": ranx_kernel(scores, gains, ranked=False),
        "ranx, kernel alone": ranx_kernel(scores, gains, ranked=True),
        "scikit-learn": scikit_ndcg(scores, gains),
        "torchmetrics": torchmetrics_ndcg(scores, gains),
    }
    ours = works["nightshift"]()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(RUNS):
        for name, work in works.items():
            taken[name].append(seconds(work))
    median = {name: float(np.median(each)) for name, each in taken.items()}
    rows = [
        {
            "library": name,
            "seconds": median[name],
            "times ours": median[name] / median["nightshift"],
            "largest difference": float(np.abs(works[name]() - ours).max()),
        }
        for name in works
    ]
    if any(float(str(row["largest difference"])) > 1e-5 for row in rows):
        raise SystemExit(f"the libraries disagree, nothing may be compared: {rows}")
    others = {name: median[name] for name in ("ranx", "scikit-learn", "torchmetrics")}
    nearest = min(others, key=lambda name: others[name])
    mine = median["nightshift"]
    sorting, alone = (median[name] / mine for name in ("ranx, kernel and sorting", "ranx, kernel alone"))
    keep(
        "ndcg_speed",
        f"nDCG@10 of {queries:,} queries x {documents:,} documents, median of {RUNS} interleaved runs",
        rows,
        f"{others[nearest] / mine:.1f} times as fast as {nearest}, the fastest of the others as their manuals "
        f"have it; {sorting:.1f} times ranx's bare kernel with sorting, {alone:.1f} times the kernel alone",
        ("ranx", "scikit-learn", "torchmetrics", "numpy", "torch"),
    )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
