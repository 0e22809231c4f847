"""A night that ends in a ranker: its gain over V1.0, its loss, compliance, latency and modalities."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.dataset import Query
from models.losses import pair_statistics
from models.scorers import PoolScorer
from nightshift.checkpoint import manifest_sha256
from nightshift.instant import boottime_s
from nightshift.rundir import RunDir
from nightshift.states import Metric
from schedules.plan import Criterion
from verdict.controls import constant_share, metric_failures
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
from verdict.data_evidence import has_no_picture, v1_only
from verdict.evidence import Evidence
from verdict.finding import Finding
from verdict.judgement import Judgement
from verdict.leaks import sorted_words
from verdict.modality import judge_modalities
from verdict.ranking_scores import measure_latency, record_scores
from verdict.reasons import Reason, stop
from verdict.reextraction import reextract
from verdict.scorebook import ScoreBook
from verdict.scored import ScoredSplit
from verdict.seal import Seal
from verdict.seeds import judge_seeds
from verdict.stated import check_stated, read_stated
from verdict.statistics import cluster_means
from verdict.timing import Latency, scores_alike

Floats = NDArray[np.float64]
MARGIN = 0.1
SEEDS_LEAVE_S = 8.0
"""Real seconds that judging further seeds leaves for latency and modalities."""


def judge_ranking(
    result: Judgement, run: RunDir, seal: Seal, evidence: Evidence, until_s: float, book: ScoreBook
) -> None:
    """Judge the chosen checkpoint, everything recomputed from raw inputs.

    `until_s` is the second since boot at which permuting modalities must be over.
    """
    assert evidence.checkpoint is not None
    scorer = book.scorer(evidence.checkpoint, seal.device)
    result.encoders = dict(scorer.encoders)
    began_s = boottime_s()
    test = replace(book.split(seal, evidence.checkpoint, "test"), left_out=result.left_out)
    took_s = boottime_s() - began_s
    splits = {"test": test, "val": book.split(seal, evidence.checkpoint, "val")}
    result.reasons += _not_recomputable(run, seal, evidence, scorer, splits, result)
    if result.stopped:
        result.notes.append("Scores are not shown: what they would be computed from is not sound.")
        return
    if not test.usable:
        result.notes.append("No test query has labels that tell a good order from a bad one.")
        judge_data_alone(result, seal)
        return
    seeds = judge_seeds(seal, evidence, test, took_s, until_s - SEEDS_LEAVE_S, book)
    record_scores(result, seal, evidence, splits, seeds)
    latency = measure_latency(result, seal, evidence, scorer, test, book)
    alike = scores_alike(scorer, test.requests)
    for criterion in seal.night.criteria:
        answer = _answer(criterion, seal, splits, latency if alike else None, seeds.mean, result)
        if answer is not None:
            result.findings.append(answer)
    train_s = _train_s(seal, took_s) if until_s - boottime_s() > 2 * _train_s(seal, took_s) else 0.0
    judge_modalities(result, seal, evidence.checkpoint, scorer, test, until_s - train_s, book)
    _add_loss(result, seal, evidence.checkpoint, test, train_s > 0, book)


def _train_s(seal: Seal, took_s: float) -> float:
    """Return how many real seconds scoring the training split may take, as long as the test split's took."""
    queries = {name: max(1, content.queries) for name, content in seal.data.contents.items()}
    return 1.3 * took_s * queries.get("train", 1) / queries.get("test", 1)


def _add_loss(
    result: Judgement, seal: Seal, checkpoint: Path, test: ScoredSplit, in_time: bool, book: ScoreBook
) -> None:
    """Judge the training loss last: it is a wish, and its split is the largest to encode anew."""
    asked = [c for c in seal.night.criteria if c.metric is Metric.TRAINING_LOSS]
    if asked and in_time:
        splits = {"train": book.split(seal, checkpoint, "train"), "test": test}
        result.findings.append(_loss(asked[0], splits, result))
    elif asked:
        late = "no time was left to score the training split; `nightshift judge` on this run does it"
        result.findings.append(not_measured(asked[0], late))


def _not_recomputable(
    run: RunDir,
    seal: Seal,
    evidence: Evidence,
    scorer: PoolScorer,
    splits: dict[str, ScoredSplit],
    result: Judgement,
) -> list[Reason]:
    """Return where what the trainers used or stated is not what the judge gets from raw inputs."""
    again = reextract(run, seal, evidence.stage, scorer)
    if again.note:
        result.warnings.append(again.note)
    return [*again.reasons, *stated_wrongly(run, seal, evidence, splits, result)]


def stated_wrongly(
    run: RunDir, seal: Seal, evidence: Evidence, splits: dict[str, ScoredSplit], result: Judgement
) -> list[Reason]:
    """Return where stated results are not what the scores give, or the scores tell nothing apart."""
    reasons: list[Reason] = []
    assert evidence.checkpoint is not None
    for stated in read_stated(run, seal):
        if stated.head.get("split") == "train":
            result.warnings.append(f"{stated.stage} states results of the training split: not looked at")
            continue
        reasons += check_stated(stated, manifest_sha256(evidence.checkpoint), seal, splits["val"])
    if splits["test"].usable and constant_share(splits["test"].new) > 0.5:
        reasons.append(
            stop(
                "the model gives one score to every candidate of most queries",
                "Look at the last layer and its inputs (20 min): nothing reaches the score.",
            )
        )
    return reasons


def _answer(
    criterion: Criterion,
    seal: Seal,
    splits: dict[str, ScoredSplit],
    latency: Latency | None,
    ndcg: Floats,
    result: Judgement,
) -> Finding | None:
    test = splits["test"]
    if criterion.metric is Metric.VALIDATION_NDCG:
        return gain_of(criterion, seal, test, ndcg, result.reasons)
    if criterion.metric is Metric.COMPLIANCE_AT_1:
        return judge_compliance(criterion, test.queries, test.new, test.v1)
    if criterion.metric is Metric.INFERENCE_MS:
        different = "what is timed gives other scores than what ranks, so its time is not the ranking's"
        return judge_latency(criterion, latency) if latency else not_measured(criterion, different)
    return None


def gain_without_model(
    criterion: Criterion, seal: Seal, test: ScoredSplit, reasons: list[Reason]
) -> Finding | None:
    """Return why a gain cannot be believed on these data whatever a model does, or None."""
    if not test.usable:
        return finding(criterion, INVALID, f"the metric fails its controls: {metric_failures([], [], 0)[0]}")
    v1 = float(test.ndcg(test.v1).mean())
    saturated = judge_saturation(criterion, v1, len(test.usable), has_no_picture(seal))
    if saturated:
        return saturated
    return finding(criterion, INVALID, reasons[0].what) if reasons else None


def judge_data_alone(result: Judgement, seal: Seal) -> None:
    """Say what can be said of a gain without any model: a night that was halted, or left none."""
    test = v1_only(seal, "test", result.left_out)
    for criterion in seal.night.criteria:
        if criterion.metric is Metric.VALIDATION_NDCG:
            invalid = gain_without_model(criterion, seal, test, result.reasons)
            result.findings += [invalid] if invalid else []


def gain_of(
    criterion: Criterion, seal: Seal, test: ScoredSplit, ndcg: Floats, reasons: list[Reason]
) -> Finding:
    """Return the finding on the gain in nDCG@10; `ndcg` is per usable query."""
    invalid = gain_without_model(criterion, seal, test, reasons)
    if invalid:
        return invalid
    failures = metric_failures(test.new, test.relevance, seal.seed)
    if failures:
        return finding(criterion, INVALID, f"the metric fails its controls: {'; '.join(failures)}")
    return judge_gain(criterion, clustered(test, ndcg - test.ndcg(test.v1)), seal.seed)


def clustered(test: ScoredSplit, gains: Floats) -> Floats:
    """Return the gains with queries of the same words as one: they are not independent."""
    queries = [test.queries[i] for i in test.usable]
    words = [sorted_words(q.text) if isinstance(q, Query) else q.id for q in queries]
    return cluster_means(gains, words)


def _loss(criterion: Criterion, splits: dict[str, ScoredSplit], result: Judgement) -> Finding:
    train, held_out = splits["train"], splits["test"]
    statistics = [pair_statistics(s, r, MARGIN) for s, r in zip(train.new, train.relevance, strict=True)]
    counted = [s for s in statistics if s.pairs]
    if not counted:
        return not_measured(criterion, "the training labels form no pairs")
    weights = np.array([s.pairs for s in counted], dtype=np.float64)
    loss = float(np.average([s.loss for s in counted], weights=weights))
    beyond = float(np.average([s.beyond_margin for s in counted], weights=weights))
    pairs = (pair_statistics(a, r, MARGIN) for a, r in zip(held_out.new, held_out.relevance, strict=True))
    accuracies = [s.accuracy for s in pairs if s.pairs]
    result.loss_facts = {
        "loss": loss,
        "beyond_margin": beyond,
        "constant_scorer": MARGIN,
        "pairs": int(weights.sum()),
    }
    return judge_loss(criterion, loss, np.array(accuracies), beyond)
