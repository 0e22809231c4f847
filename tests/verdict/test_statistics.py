import math

import numpy as np
import pytest
from scipy import stats

from verdict.statistics import (
    excludes_zero_with_skew,
    johnson_t,
    minimum_detectable_effect,
    percentile_upper_bound,
    sign_flip_p,
    t_interval,
)


def test_the_interval_is_scipys():
    values = np.random.default_rng(1).normal(0.05, 0.15, 131)
    interval = t_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.n == 131


def test_sign_flip_agrees_with_scipys_permutation_test():
    values = np.random.default_rng(2).normal(0.03, 0.15, 60)
    ours = sign_flip_p(values, seed=3)
    theirs = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=9999, rng=np.random.default_rng(3)
    ).pvalue
    assert ours == pytest.approx(theirs, abs=0.02)


def test_no_difference_at_all_is_no_evidence():
    assert sign_flip_p(np.zeros(50), seed=1) == 1.0


@pytest.mark.parametrize(("n", "effect"), [(24, 0.090), (60, 0.055), (120, 0.039), (500, 0.019)])
def test_minimum_detectable_effects_are_the_known_ones(n, effect):
    assert minimum_detectable_effect(0.15, n) == pytest.approx(effect, abs=0.0006)


def test_the_95th_percentile_of_a_thousand_is_bounded_by_the_962nd():
    assert percentile_upper_bound(np.arange(1, 1001), 0.95) == 962
    assert percentile_upper_bound(np.arange(10), 0.95) == math.inf


def test_skew_is_corrected_for():
    rng = np.random.default_rng(4)
    loser = 0.05 - rng.exponential(0.05, 40)
    plain = loser.mean() / (loser.std(ddof=1) / math.sqrt(40))
    assert johnson_t(loser) < plain
    assert not excludes_zero_with_skew(rng.normal(0, 1, 40) - 0.2)
    assert excludes_zero_with_skew(np.full(30, 0.1))


@pytest.mark.parametrize("n", [24, 60, 120])
def test_a_true_gain_of_zero_is_rarely_called_a_gain(n):
    rng = np.random.default_rng(n)
    wrong = sum(t_interval(rng.normal(0, 0.15, n)).low > 0 for _ in range(2000))
    assert wrong / 2000 < 0.025 + 3 * math.sqrt(0.025 * 0.975 / 2000)
