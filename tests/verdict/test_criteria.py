from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from models.dataset import Candidate, Query
from nightshift.states import CriterionState, Metric, Word
from schedules.plan import Criterion
from verdict.controls import head_room, metric_disagreement, metric_failures
from verdict.criteria import judge_compliance, judge_gain, judge_latency, judge_loss, judge_saturation
from verdict.finding import Finding, word_of
from verdict.reasons import pause, stop
from verdict.timing import Latency
from verdict.utilisation import GpuReading, judge_utilisation, utilisation

GAIN = Criterion(metric=Metric.VALIDATION_NDCG, required=True, above=0.03, target=0.05)
LOSS = Criterion(metric=Metric.TRAINING_LOSS, below=0.1)
KEPT = Criterion(metric=Metric.COMPLIANCE_AT_1, kept_within=0.02)
SPEED = Criterion(metric=Metric.INFERENCE_MS, required=True, below=2.0)
BUSY = Criterion(metric=Metric.GPU_UTILISATION_PCT, above=80)
START = datetime(2026, 11, 24, 22, tzinfo=UTC)
rng = np.random.default_rng(5)


def spread(mean, sd, n):
    values = np.random.default_rng(n).normal(0, 1, n)
    return mean + sd * (values - values.mean()) / values.std(ddof=1)


@pytest.mark.parametrize(
    ("differences", "state"),
    [
        (spread(0.05, 0.1, 500), CriterionState.MET),
        (spread(0.015, 0.05, 500), CriterionState.MISSED),
        (spread(0.05, 0.5, 60), CriterionState.MISSED),
        (spread(-0.05, 0.1, 500), CriterionState.MISSED),
        (np.zeros(200), CriterionState.MISSED),
        (spread(0.5, 0.1, 5), CriterionState.NOT_MEASURED),
    ],
)
def test_a_gain_is_met_only_where_point_and_interval_say_so(differences, state):
    assert judge_gain(GAIN, differences, seed=1).state is state


def test_few_queries_with_large_losses_are_not_a_measurement():
    values = np.full(40, 0.07)
    values[:3] = -0.35
    found = judge_gain(GAIN, values, seed=1)
    assert found.state is not CriterionState.MET


def test_a_saturated_baseline_makes_the_gain_invalid():
    found = judge_saturation(GAIN, v1_ndcg=1.0, n=41, no_image=True)
    assert found is not None
    assert found.state is CriterionState.INVALID
    assert "saturated" in found.reason
    assert "no image" in found.reason
    assert judge_saturation(GAIN, v1_ndcg=0.8, n=41, no_image=True) is None
    assert head_room(0.8) == pytest.approx(0.2)


def test_a_small_loss_by_memory_is_invalid():
    chance = rng.normal(0.5, 0.1, 200)
    assert judge_loss(LOSS, 0.0002, chance - chance.mean() + 0.497, 0.9).state is CriterionState.INVALID
    assert judge_loss(LOSS, 0.08, spread(0.8, 0.1, 200), 0.6).state is CriterionState.MET
    assert judge_loss(LOSS, 0.11, spread(0.8, 0.1, 200), 0.6).state is CriterionState.MISSED


def test_latency_is_judged_by_its_upper_bound():
    def latency(bound):
        return Latency(1.0, 1.8, bound, 2.5, 1000, "path")

    assert judge_latency(SPEED, latency(1.99)).state is CriterionState.MET
    assert judge_latency(SPEED, latency(2.01)).state is CriterionState.MISSED


def queries(n, complies):
    pool = (Candidate("a", "", 1, 0.0, complies=complies), Candidate("b", "", 0, 0.0, complies=True))
    return [Query(f"q{i}", "x", pool) for i in range(n)]


def test_compliance_is_kept_lost_or_not_shown():
    top, other = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    bad, many = queries(100, complies=False), queries(200, complies=False)
    assert judge_compliance(KEPT, many, [other] * 200, [other] * 200).state is CriterionState.MET
    few = judge_compliance(KEPT, bad, [other] * 100, [other] * 100)
    assert few.state is CriterionState.NOT_MEASURED, "100 queries without a loss do not rule out one in fifty"
    assert judge_compliance(KEPT, bad, [top] * 100, [other] * 100).state is CriterionState.MISSED
    mixed = [top] * 3 + [other] * 97
    assert judge_compliance(KEPT, bad, mixed, [other] * 97 + [top] * 3).state is CriterionState.NOT_MEASURED
    assert (
        judge_compliance(KEPT, queries(100, None), [top] * 100, [top] * 100).state
        is CriterionState.NOT_MEASURED
    )


def test_unsampled_time_is_unknown_time():
    readings = [GpuReading(START + timedelta(seconds=s), 90.0) for s in range(1, 101)]
    use = utilisation(readings, START, START + timedelta(seconds=100), 1.0)
    assert use is not None
    assert judge_utilisation(BUSY, use, "").state is CriterionState.MET
    gap = [r for r in readings if not START + timedelta(seconds=40) < r.at < START + timedelta(seconds=60)]
    holed = utilisation(gap, START, START + timedelta(seconds=100), 1.0)
    assert holed is not None
    assert holed.coverage < 0.85
    assert judge_utilisation(BUSY, holed, "").state is CriterionState.NOT_MEASURED
    assert judge_utilisation(BUSY, None, "this machine has no GPU").reason == "this machine has no GPU"


def test_the_metric_passes_its_controls_and_agrees_with_an_independent_one():
    relevance = [rng.integers(0, 4, 30) for _ in range(30)]
    scores = [np.round(rng.normal(size=30), 1) for _ in range(30)]
    assert metric_failures(scores, relevance, seed=1) == []
    assert metric_disagreement(scores, relevance) < 1e-9


def test_labels_that_are_all_zero_are_named():
    failures = metric_failures([rng.normal(size=5)], [np.zeros(5, dtype=np.int64)], seed=1)
    assert failures
    assert "label" in failures[0]


def finding(state, required=True):
    return Finding(name=Metric.VALIDATION_NDCG, required=required, asked="> 0.03", state=state, reason="")


@pytest.mark.parametrize(
    ("findings", "reasons", "broken", "word"),
    [
        ([finding(CriterionState.MET)], [], {}, Word.GO),
        ([finding(CriterionState.MET), finding(CriterionState.MISSED, False)], [], {}, Word.GO),
        ([finding(CriterionState.MISSED)], [], {}, Word.NO_GAIN),
        ([finding(CriterionState.NOT_MEASURED)], [], {}, Word.PAUSE_AND_FIX),
        ([finding(CriterionState.INVALID)], [], {}, Word.PAUSE_AND_FIX),
        ([finding(CriterionState.MET)], [], {"train": "crashed"}, Word.PAUSE_AND_FIX),
        ([finding(CriterionState.MET)], [stop("tampered")], {}, Word.STOP),
        ([finding(CriterionState.MISSED)], [pause("not done", "look")], {}, Word.PAUSE_AND_FIX),
        ([finding(CriterionState.MET)], [pause("not done", "look"), stop("tampered")], {}, Word.STOP),
        ([], [], {}, Word.PAUSE_AND_FIX),
    ],
)
def test_the_word_follows_from_the_findings(findings, reasons, broken, word):
    assert word_of(findings, reasons, broken) is word
