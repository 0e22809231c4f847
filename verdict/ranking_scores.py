"""The scores of a ranker's night as they are printed: validation, test, seeds, latency."""

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from models.dataset import Query
from models.scorers import PoolScorer
from nightshift.checkpoint import manifest_sha256
from nightshift.states import Metric
from verdict.evidence import Evidence
from verdict.judgement import Judgement
from verdict.scorebook import ScoreBook, content
from verdict.scored import ScoredSplit, baseline
from verdict.seal import Seal
from verdict.seeds import SeedScores
from verdict.statistics import harmed, t_interval
from verdict.timing import CALLS, TEXT_CALLS, Latency, latency_facts, time_scorer, time_texts

Floats = NDArray[np.float64]


def split_scores(split: ScoredSplit, ndcg: Floats) -> dict[str, JsonValue]:
    """Return nDCG@10 and gain of one split with their intervals; `ndcg` is per usable query."""
    v1 = split.ndcg(split.v1)
    if ndcg.size < 2:
        return {"n": int(ndcg.size)}
    interval, level = t_interval(ndcg - v1), t_interval(ndcg)
    return {
        "n": interval.n,
        "ndcg_at_10": level.mean,
        "ndcg_at_10_low": level.low,
        "ndcg_at_10_high": level.high,
        "ndcg_at_10_v1": float(v1.mean()),
        "gain": interval.mean,
        "gain_low": interval.low,
        "gain_high": interval.high,
        "left_out": len(split.relevance) - interval.n,
    }


def record_scores(
    result: Judgement, seal: Seal, evidence: Evidence, splits: dict[str, ScoredSplit], seeds: SeedScores
) -> None:
    """Put the scores of both splits, of every seed and of the trainer's own claim into the judgement."""
    val, held_out = splits["val"], splits["test"]
    result.scores["validation"] = validation = split_scores(val, val.ndcg(val.new))
    result.scores["test"] = test = split_scores(held_out, seeds.mean)
    v1 = held_out.ndcg(held_out.v1)
    gains = seeds.mean - v1
    test["skew"] = t_interval(gains).skew if gains.size > 1 else None
    test["v1"] = baseline(seal, held_out.queries)[1]
    test |= seeds.facts(v1)
    validation["selection_score"] = evidence.selection_score
    if isinstance(validation.get("ndcg_at_10"), float) and held_out.usable:
        chosen = float(held_out.ndcg(held_out.new).mean())
        validation["selection_optimism"] = float(val.ndcg(val.new).mean()) - chosen
    result.gains = [round(float(gain), 6) for gain in gains]
    seed_warnings(result, seeds)
    result.warnings += _harmed(held_out, gains)
    judged = validation.get("ndcg_at_10")
    claimed = evidence.selection_score
    if claimed is not None and isinstance(judged, float) and abs(judged - claimed) > 0.02:
        result.warnings.append(
            f"the trainer's own validation score was {claimed:.4f}; re-scored from raw inputs it is {judged:.4f}"
        )


def _harmed(test: ScoredSplit, gains: Floats) -> list[str]:
    """Return a warning where the model is worse than V1.0 in some domain for certain."""
    by_domain: dict[str, list[float]] = {}
    for row, gain in zip(test.usable, gains, strict=True):
        query = test.queries[row]
        if isinstance(query, Query) and query.domain:
            by_domain.setdefault(query.domain, []).append(float(gain))
    lost = harmed(by_domain) if len(by_domain) > 1 else []
    return [
        f"V1.0 is better in {name}: {np.mean(by_domain[name]):+.3f} over {len(by_domain[name])}"
        for name in lost
    ]


def seed_warnings(result: Judgement, seeds: SeedScores) -> None:
    """Say what is not known of the seeds."""
    if len(seeds.chosen) == 1:
        result.warnings.append("one seed: how much the gain varies between seeds is not known")
    if seeds.not_judged:
        result.warnings.append(
            f"{seeds.not_judged} more seeds were trained, but no time was left to judge them"
        )


def measure_latency(
    result: Judgement, seal: Seal, evidence: Evidence, scorer: PoolScorer, test: ScoredSplit, book: ScoreBook
) -> Latency:
    """Return the latency of the path that the plan names; the other one is printed beside it."""
    searches = [query for query in test.queries if isinstance(query, Query)]
    asked = next((c.path for c in seal.night.criteria if c.metric is Metric.INFERENCE_MS), "vectors")
    assert evidence.checkpoint is not None
    key = ("latency", manifest_sha256(evidence.checkpoint), asked, *content(seal, "test"))
    if asked == "text" and searches:
        latency = book.once(key, lambda: time_texts(scorer, searches, CALLS))
        result.latency = latency_facts(latency)
        return latency
    latency, text = book.once(
        key,
        lambda: (
            time_scorer(scorer, test.requests, seal.seed),
            time_texts(scorer, searches, TEXT_CALLS) if searches else None,
        ),
    )
    result.latency = latency_facts(latency, text)
    return latency
