"""The evaluation stage (`python -m models.evaluate_fusion`): what the trained model gets wrong, on validation.

The test split is the judge's alone; this stage helps a person to see where the next gain may lie.
"""

import json
import sys
from collections.abc import Sequence

import numpy as np
import torch

from models.data import load_split
from models.dataset import Query
from models.fusion import FusionScorer, load_scorer
from models.metrics import ndcg_per_query
from models.settings import EvaluateSettings, read_settings
from models.stage_best import best_checkpoint
from nightshift.checkpoint import write_atomically
from nightshift.states import NightError
from nightshift.trainer import TrainerRun, open_run

TOP = 3


def worst_queries(
    queries: Sequence[Query], scores: Sequence[np.ndarray], values: np.ndarray, v1: np.ndarray, count: int
) -> list[dict[str, object]]:
    """Return the queries with the lowest nDCG@10, with the items that stand on top and the ones that should."""
    order = [int(i) for i in np.argsort(np.where(np.isfinite(values), values, np.inf))[:count]]
    worst = []
    for i in order:
        query, ranked = queries[i], np.argsort(-scores[i], kind="stable")
        best = max(query.candidates, key=lambda candidate: candidate.relevance)
        worst.append(
            {
                "query": query.text,
                "ndcg_at_10": round(float(values[i]), 4),
                "ndcg_at_10_v1": round(float(v1[i]), 4),
                "top": [
                    {"text": query.candidates[j].text, "relevance": query.candidates[j].relevance}
                    for j in ranked[:TOP]
                ],
                "should_be_on_top": best.text,
            }
        )
    return worst


def analyse(
    run: TrainerRun, scorer: FusionScorer, queries: Sequence[Query], settings: EvaluateSettings
) -> None:
    """Write `out/analysis.json`: the worst queries, and the score per domain."""
    run.phase("evaluate")
    labels = [query.relevance() for query in queries]
    scores = scorer.score_many(scorer.encode(queries))
    values = ndcg_per_query(scores, labels)
    v1 = ndcg_per_query([query.scores_v1() for query in queries], labels)
    domains: dict[str, list[float]] = {}
    for query, gain in zip(queries, values - v1, strict=True):
        if np.isfinite(gain):
            domains.setdefault(query.domain or "all", []).append(float(gain))
    document = {
        "split": "validation",
        "queries": len(queries),
        "ndcg_at_10": float(np.nanmean(values)),
        "ndcg_at_10_v1": float(np.nanmean(v1)),
        "gain_per_domain": {name: {"n": len(g), "gain": float(np.mean(g))} for name, g in domains.items()},
        "worst": worst_queries(queries, scores, values, v1, settings.worst),
    }
    write_atomically(run.folder.out / "analysis.json", json.dumps(document, indent=1))
    run.metrics(1, val_ndcg_at_10=float(np.nanmean(values)), val_ndcg_at_10_v1=float(np.nanmean(v1)))
    run.progress(1, samples=len(queries), total=len(queries), share=1.0)


def main() -> int:
    """Return the exit code of this trainer."""
    torch.set_num_threads(min(2, torch.get_num_threads()))
    run = open_run()
    settings = read_settings(EvaluateSettings, run.inputs.get("settings"))
    run.phase("load")
    try:
        scorer = load_scorer(best_checkpoint(run.inputs["stage.train"]), run.device)
    except NightError as error:
        print(f"evaluate_fusion: {error}", file=sys.stderr)
        return 2
    analyse(run, scorer, load_split(run.inputs["val"], run.inputs.get("images")), settings)
    run.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
