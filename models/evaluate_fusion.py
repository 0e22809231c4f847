"""The evaluation stage (`python -m models.evaluate_fusion`): what the trained model gets wrong, on validation.

The test split is the judge's alone; this stage helps a person to see where the next gain may lie.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from models.data import load_split
from models.dataset import Candidate, Query
from models.fusion_scorer import FusionScorer, load_scorer
from models.metrics import ndcg_per_query
from models.scorers import Request
from models.settings import EvaluateSettings, read_settings
from models.stage_best import best_checkpoint
from nightshift.checkpoint import manifest_sha256
from nightshift.events import append_line
from nightshift.instant import boottime_s
from nightshift.states import NightError
from nightshift.trainer import TrainerRun, open_run

TOP = 3
PERMUTATIONS = 3
TIMED = 300
STOP_RESERVE_S = 1.0
"""Real seconds kept for writing what is there."""


def permuted(queries: Sequence[Query], modality: str, rng: np.random.Generator) -> list[Query]:
    """Return the queries with one modality permuted across all their candidates."""
    everyone = [candidate for query in queries for candidate in query.candidates]
    donors = iter([everyone[i] for i in rng.permutation(len(everyone))])
    return [
        replace(q, candidates=tuple(_with(c, next(donors), modality) for c in q.candidates)) for q in queries
    ]


def _with(candidate: Candidate, donor: Candidate, modality: str) -> Candidate:
    if modality == "image":
        return replace(candidate, image=donor.image)
    if modality == "text":
        return replace(candidate, text=donor.text)
    return replace(candidate, attributes=donor.attributes)


def modality_drops(run: TrainerRun, scorer: FusionScorer, queries: Sequence[Query]) -> dict[str, float]:
    """Return what permuting each modality costs in mean nDCG@10; one that no time was left for is absent."""
    labels = [query.relevance() for query in queries]
    intact = ndcg_per_query(scorer.score_many(scorer.encode(queries)), labels)
    rng, drops = np.random.default_rng([run.seed, 0]), {}
    for modality in scorer.modalities:
        lost: list[float] = []
        while len(lost) < PERMUTATIONS and not run.should_stop(STOP_RESERVE_S):
            scores = scorer.score_many(scorer.encode(permuted(queries, modality, rng)))
            lost.append(float(np.nanmean(intact - ndcg_per_query(scores, labels))))
        if lost:
            drops[modality] = float(np.mean(lost))
    return drops


def latency_ms(scorer: FusionScorer, requests: Sequence[Request]) -> dict[str, float | int | str]:
    """Return the 50th and 95th percentile of scoring one request: an estimate, the judge times by itself."""
    taken_ms = []
    for number in range(TIMED):
        began_s = boottime_s()
        scorer.score(requests[number % len(requests)])
        taken_ms.append((boottime_s() - began_s) * 1000)
    p50, p95 = (float(np.percentile(taken_ms, q)) for q in (50, 95))
    return {"p50": p50, "p95": p95, "calls": TIMED, "path": scorer.timed_path}


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
    """Write `out/analysis.json`: nDCG per query and domain, the worst queries, modality drops, latency."""
    run.phase("evaluate")
    labels = [query.relevance() for query in queries]
    requests = scorer.encode(queries)
    scores = scorer.score_many(requests)
    values = ndcg_per_query(scores, labels)
    v1 = ndcg_per_query([query.scores_v1() for query in queries], labels)
    domains: dict[str, list[float]] = {}
    for query, gain in zip(queries, values - v1, strict=True):
        if np.isfinite(gain):
            domains.setdefault(query.domain or "all", []).append(float(gain))
    document: dict[str, object] = {
        "split": "validation",
        "queries": len(queries),
        "ndcg_at_10": float(np.nanmean(values)),
        "ndcg_at_10_v1": float(np.nanmean(v1)),
        "gain_per_domain": {name: {"n": len(g), "gain": float(np.mean(g))} for name, g in domains.items()},
        "worst": worst_queries(queries, scores, values, v1, settings.worst),
        "per_query": [
            {"id": q.id, "ndcg_at_10": _number(new), "ndcg_at_10_v1": _number(old)}
            for q, new, old in zip(queries, values, v1, strict=True)
        ],
    }
    run.write_result("analysis", document)
    state_results(run, queries, scores, values, v1)
    run.progress(1, samples=len(queries), total=3 * len(queries), share=1 / 3)
    document["latency_ms"] = latency_ms(scorer, requests)
    document["modality_drops"] = modality_drops(run, scorer, queries)
    run.write_result("analysis", document)
    run.metrics(1, val_ndcg_at_10=float(np.nanmean(values)), val_ndcg_at_10_v1=float(np.nanmean(v1)))
    run.progress(2, samples=3 * len(queries), total=3 * len(queries), share=1.0)


def state_results(
    run: TrainerRun,
    queries: Sequence[Query],
    scores: Sequence[np.ndarray],
    values: np.ndarray,
    v1: np.ndarray,
) -> None:
    """Write `out/results.jsonl`: per query what this stage states, for the judge to recompute."""
    checkpoint = best_checkpoint(run.inputs["stage.train"])
    head = {"nonce": run.nonce, "split": "val", "checkpoint": manifest_sha256(checkpoint)}
    run.folder.results.unlink(missing_ok=True)
    append_line(run.folder.results, head)
    for query, own, new, old in zip(queries, scores, values, v1, strict=True):
        line = {"query_id": query.id, "ndcg_at_10": _number(new), "ndcg_at_10_v1": _number(old)}
        append_line(run.folder.results, line | {"scores": [round(float(s), 6) for s in own]})


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


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
