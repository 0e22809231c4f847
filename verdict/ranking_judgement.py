"""A night that ends in a ranker: its gain over V1.0, its loss, compliance, latency and modalities."""

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from models.dataset import Query
from models.losses import pair_statistics
from models.scorers import PoolScorer, load_scorer
from nightshift.instant import boottime_s
from nightshift.states import Metric
from schedules.plan import Criterion
from verdict.controls import constant_share, metric_failures, overlap
from verdict.criteria import (
    INVALID,
    finding,
    judge_compliance,
    judge_gain,
    judge_latency,
    judge_loss,
    judge_saturation,
    not_measured,
)
from verdict.evidence import Evidence
from verdict.finding import Finding, ModalityFinding
from verdict.judgement import Judgement
from verdict.modality import judge_modality
from verdict.scored import ScoredSplit, baseline, score_split
from verdict.seal import Seal
from verdict.seeds import SeedScores, judge_seeds
from verdict.statistics import t_interval
from verdict.timing import CALLS, TEXT_CALLS, Latency, latency_facts, time_scorer, time_texts

Floats = NDArray[np.float64]
MODALITIES = ("image", "text", "attributes")
MARGIN = 0.1
SEEDS_LEAVE_S = 8.0
"""Real seconds that judging further seeds leaves for latency and modalities."""
LEAST_S = 1.0
"""With fewer real seconds left, a modality is not permuted."""


def judge_ranking(seal: Seal, evidence: Evidence, until_s: float) -> Judgement:
    """Return the judgement of the chosen checkpoint, everything recomputed from raw inputs.

    `until_s` is the second since boot at which permuting modalities must be over.
    """
    result = Judgement()
    if evidence.checkpoint is None:
        result.notes.append("No whole checkpoint of this night could be judged.")
        return result
    scorer = load_scorer(evidence.checkpoint, seal.device)
    result.encoders = dict(scorer.encoders)
    splits = {name: score_split(seal, scorer, name) for name in ("train", "val")}
    began_s = boottime_s()
    splits["test"] = test = score_split(seal, scorer, "test")
    took_s = boottime_s() - began_s
    _controls(result, seal, splits)
    seeds = judge_seeds(seal, evidence, "test", test, took_s, until_s - SEEDS_LEAVE_S)
    _scores(result, seal, evidence, splits, seeds)
    latency = _latency(result, seal, scorer, test)
    for criterion in seal.night.criteria:
        answer = _answer(criterion, seal, splits, latency, seeds.mean, result)
        if answer is not None:
            result.findings.append(answer)
    _modalities(result, seal, scorer, test, until_s)
    return result


def _answer(
    criterion: Criterion,
    seal: Seal,
    splits: dict[str, ScoredSplit],
    latency: Latency,
    ndcg: Floats,
    result: Judgement,
) -> Finding | None:
    test = splits["test"]
    if criterion.metric is Metric.VALIDATION_NDCG:
        return _gain(criterion, seal, test, ndcg, result)
    if criterion.metric is Metric.COMPLIANCE_AT_1:
        return judge_compliance(criterion, test.queries, test.new, test.v1)
    if criterion.metric is Metric.INFERENCE_MS:
        return judge_latency(criterion, latency)
    if criterion.metric is Metric.TRAINING_LOSS:
        return _loss(criterion, splits, result)
    return None


def _gain(criterion: Criterion, seal: Seal, test: ScoredSplit, ndcg: Floats, result: Judgement) -> Finding:
    failures = metric_failures(test.new, test.relevance, seal.seed)
    if failures:
        return finding(criterion, INVALID, f"the metric fails its controls: {'; '.join(failures)}")
    if constant_share(test.new) > 0.5:
        result.stop.append("the model gives one score to every candidate of most queries")
        return finding(criterion, INVALID, "constant scores rank nothing")
    v1 = float(test.ndcg(test.v1).mean())
    no_image = seal.data.kind == "multimodal" and seal.data.images is None
    saturated = judge_saturation(criterion, v1, len(test.usable), no_image)
    return saturated or judge_gain(criterion, ndcg - test.ndcg(test.v1), seal.seed)


def _loss(criterion: Criterion, splits: dict[str, ScoredSplit], result: Judgement) -> Finding:
    train, held_out = splits["train"], splits["test"]
    statistics = [pair_statistics(s, r, MARGIN) for s, r in zip(train.new, train.relevance, strict=True)]
    counted = [s for s in statistics if s.pairs]
    if not counted:
        return not_measured(criterion, "the training labels form no pairs")
    weights = np.array([s.pairs for s in counted], dtype=np.float64)
    loss = float(np.average([s.loss for s in counted], weights=weights))
    beyond = float(np.average([s.beyond_margin for s in counted], weights=weights))
    accuracies = [
        s.accuracy
        for s in (
            pair_statistics(a, r, MARGIN) for a, r in zip(held_out.new, held_out.relevance, strict=True)
        )
        if s.pairs
    ]
    result.loss_facts = {
        "loss": loss,
        "beyond_margin": beyond,
        "constant_scorer": MARGIN,
        "pairs": int(weights.sum()),
    }
    return judge_loss(criterion, loss, np.array(accuracies), beyond)


def _controls(result: Judgement, seal: Seal, splits: dict[str, ScoredSplit]) -> None:
    if seal.data.kind != "multimodal":
        return
    ids = {name: [f"{q.id}" for q in split.queries] for name, split in splits.items()}
    texts = {name: [q.text for q in split.queries if isinstance(q, Query)] for name, split in splits.items()}
    for name in ("train", "val"):
        shared = overlap(ids[name], ids["test"])
        if shared and overlap(texts[name], texts["test"]):
            result.stop.append(f"{len(shared)} queries stand in {name} and in test, {shared[0]!r} among them")


def _split_scores(split: ScoredSplit, ndcg: Floats) -> dict[str, JsonValue]:
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


def _scores(
    result: Judgement, seal: Seal, evidence: Evidence, splits: dict[str, ScoredSplit], seeds: SeedScores
) -> None:
    val, held_out = splits["val"], splits["test"]
    result.scores["validation"] = validation = _split_scores(val, val.ndcg(val.new))
    result.scores["test"] = test = _split_scores(held_out, seeds.mean)
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
    _seed_warnings(result, seeds)
    judged = validation.get("ndcg_at_10")
    claimed = evidence.selection_score
    if claimed is not None and isinstance(judged, float) and abs(judged - claimed) > 0.02:
        result.warnings.append(
            f"the trainer's own validation score was {claimed:.4f}; re-scored from raw inputs it is {judged:.4f}"
        )


def _seed_warnings(result: Judgement, seeds: SeedScores) -> None:
    if len(seeds.chosen) == 1:
        result.warnings.append("one seed: how much the gain varies between seeds is not known")
    if seeds.not_judged:
        result.warnings.append(
            f"{seeds.not_judged} more seeds were trained, but no time was left to judge them"
        )


def _latency(result: Judgement, seal: Seal, scorer: PoolScorer, test: ScoredSplit) -> Latency:
    """Return the latency of the path that the plan names; the other one is printed beside it."""
    searches = [query for query in test.queries if isinstance(query, Query)]
    asked = next((c.path for c in seal.night.criteria if c.metric is Metric.INFERENCE_MS), "vectors")
    if asked == "text" and searches:
        latency = time_texts(scorer, searches, CALLS)
        result.latency = latency_facts(latency)
        return latency
    latency = time_scorer(scorer, test.requests, seal.seed)
    text = time_texts(scorer, searches, TEXT_CALLS) if searches else None
    result.latency = latency_facts(latency, text)
    return latency


def _modalities(result: Judgement, seal: Seal, scorer: PoolScorer, test: ScoredSplit, until_s: float) -> None:
    for number, modality in enumerate(MODALITIES):
        left_s = (until_s - boottime_s()) / (len(MODALITIES) - number)
        if modality not in scorer.modalities:
            if seal.data.kind == "multimodal":
                result.modalities[modality] = ModalityFinding(state="ABSENT")
        elif left_s < LEAST_S:
            result.modalities[modality] = ModalityFinding(state="NOT_MEASURED")
        else:
            result.modalities[modality] = judge_modality(scorer, test, modality, seal.seed, 0.7 * left_s)
    for modality in seal.night.claims:
        found = result.modalities.get(modality)
        state = found.state if found else "ABSENT"
        if state != "USED":
            result.warnings.append(f"the plan claims {modality}, but its use is {state.replace('_', ' ')}")
