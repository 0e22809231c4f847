"""The rule for a gain, against differences whose true mean is known; `benchmarks.calibration` has the long run."""

import math

import numpy as np
import pytest

from nightshift.states import CriterionState, Metric
from schedules.plan import Criterion
from verdict.criteria import judge_gain
from verdict.statistics import SPREAD, excludes_zero, queries_needed

ANY = Criterion(metric=Metric.CANDIDATE_RECALL_AT_100, above=0.0)
ASKED = Criterion(metric=Metric.VALIDATION_NDCG, required=True, above=0.03, target=0.05)
REPEATS = 2000


def normal(rng, size):
    return rng.normal(0, 1, size)


def skewed(rng, size):
    """Positive skew of 2.6, as on real data."""
    return (rng.gamma(0.6, 1, size) - 0.6) / math.sqrt(0.6)


def losing(rng, size):
    """Negative skew of 3.7."""
    return (0.3 - rng.gamma(0.3, 1, size)) / math.sqrt(0.3)


def rare_losses(share):
    """Small gains of much the same size, and a share of large losses."""

    def draw(rng, size):
        loss = math.sqrt((1 - (1 - share) * 0.12**2) * (1 - share) / share)
        gains = share * loss / (1 - share) + rng.normal(0, 0.12, size)
        return np.where(rng.random(size) < share, -loss, gains)

    return draw


def met_share(criterion, shape, n, gain=0.0, sd=SPREAD, repeats=REPEATS):
    drawn = gain + sd * shape(np.random.default_rng([n, 3]), (repeats, n))
    hopeful = drawn[drawn.mean(axis=1) > drawn.std(axis=1, ddof=1) / math.sqrt(n)]
    met = [judge_gain(criterion, row, seed=1).state is CriterionState.MET for row in hopeful]
    return sum(met) / repeats


def most(share, repeats=REPEATS):
    return share + 3 * math.sqrt(share * (1 - share) / repeats)


@pytest.mark.parametrize("criterion", [ANY, ASKED], ids=["above 0", "above .03"])
@pytest.mark.parametrize("n", [24, 60, 120])
@pytest.mark.parametrize(
    "shape", [normal, skewed, losing, rare_losses(0.03), rare_losses(0.08)], ids=range(5)
)
def test_no_gain_at_all_is_hardly_ever_met(criterion, shape, n):
    assert met_share(criterion, shape, n) <= most(0.025)


def test_no_gain_at_all_is_hardly_ever_met_by_many_queries():
    assert met_share(ANY, losing, 500) <= most(0.025)


@pytest.mark.parametrize("n", [120, 500])
def test_skew_is_corrected_for_where_the_spread_is_wide_too(n):
    assert met_share(ANY, losing, n, sd=0.25) <= most(0.025)


@pytest.mark.parametrize(
    ("shape", "n", "least"),
    [(normal, 60, 0.55), (skewed, 60, 0.55), (normal, 120, 0.85), (skewed, 120, 0.85)],
)
def test_a_true_gain_is_still_found(shape, n, least):
    assert met_share(ASKED, shape, n, gain=0.05, repeats=400) >= least


def test_a_large_gain_is_found_in_spite_of_skew():
    assert met_share(ASKED, losing, 120, gain=0.15, repeats=200) >= 0.95


def test_the_test_split_is_not_fooled_by_tuning_as_validation_is():
    rng = np.random.default_rng(8)
    best_on_validation, test = [], []
    for _ in range(200):
        shared, own = rng.normal(0, 1, (1, 120)), rng.normal(0, 1, (50, 120))
        trials = SPREAD * (shared + own) / math.sqrt(2)
        best = trials[:, :60].mean(axis=1).argmax()
        best_on_validation.append(trials[best, :60].mean() > 0.03)
        test.append(judge_gain(ASKED, trials[best, 60:], seed=1).state is CriterionState.MET)
    assert np.mean(best_on_validation) > 0.4
    assert np.mean(test) < 0.05


def test_five_queries_that_changed_could_all_be_luck():
    values = np.r_[np.full(5, 0.5), np.zeros(15)]
    assert excludes_zero(values)
    assert judge_gain(ASKED, values, seed=1).state is CriterionState.MISSED
    assert judge_gain(ASKED, np.r_[np.full(8, 0.5), np.zeros(12)], seed=1).state is CriterionState.MET


def test_few_queries_that_all_gain_a_little_are_not_enough_and_it_says_how_many_are():
    few = np.random.default_rng(2).normal(0.04, 0.02, 24)
    found = judge_gain(ASKED, few, seed=1)
    assert found.state is CriterionState.NOT_MEASURED
    assert (
        f"24 queries are too few to rule out rare large losses; about {queries_needed(few)}" in found.reason
    )


@pytest.mark.parametrize(("shape", "sd"), [(normal, 0.1), (skewed, 0.1), (losing, 0.25)])
def test_so_many_queries_as_are_asked_for_would_do(shape, sd):
    drawn = shape(np.random.default_rng(4), 40)
    standard = (drawn - drawn.mean()) / drawn.std(ddof=1)
    few = sd * (standard + 2.2 / math.sqrt(40))
    needed = queries_needed(few)
    assert needed > 40
    assert not excludes_zero(few)
    assert not excludes_zero(np.tile(few, max(1, int(0.8 * needed / 40))))
    assert excludes_zero(np.tile(few, math.ceil(needed / 40) + 1))
