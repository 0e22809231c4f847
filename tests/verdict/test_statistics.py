import math

import numpy as np
import pytest
from scipy import stats

from verdict.statistics import (
    SPREAD,
    careful_t,
    cluster_means,
    excludes_zero,
    harmed,
    max_t_sign_flip_p,
    minimum_detectable_effect,
    percentile_upper_bound,
    sign_flip_p,
    t_interval,
    widened_sd,
)


def test_the_interval_is_scipys():
    values = np.random.default_rng(1).normal(0.05, 0.15, 131)
    interval = t_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.n == 131
    assert interval.skew == pytest.approx(stats.skew(values))


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


def plain_t(values):
    return values.mean() / (values.std(ddof=1) / math.sqrt(values.size))


def test_the_careful_t_is_the_plain_one_without_negative_skew_or_a_small_spread():
    values = np.random.default_rng(4).gamma(1, 0.3, 40)
    assert values.std(ddof=1) > SPREAD
    assert careful_t(values) == pytest.approx(plain_t(values))


def test_a_small_spread_is_not_believed():
    values = np.random.default_rng(4).normal(0.05, 0.03, 40)
    assert plain_t(values) > 5
    assert careful_t(values) == pytest.approx(values.mean() / (SPREAD / math.sqrt(40)), rel=0.05)
    assert not excludes_zero(values)
    assert excludes_zero(values + 0.05)


def test_losses_that_are_seen_count_for_more_than_their_spread():
    loser = 0.5 - np.random.default_rng(4).exponential(0.4, 40)
    assert careful_t(loser) < 0.9 * plain_t(loser)


def test_more_gain_is_never_less_certain():
    loser = -np.random.default_rng(4).exponential(0.4, 40)
    certain = [careful_t(loser + gain) for gain in np.linspace(0.2, 2, 30)]
    assert certain == sorted(certain)


def test_the_best_of_many_trials_must_be_surer():
    values = np.random.default_rng(5).normal(0, 0.2, 100)
    values += 2.5 * values.std(ddof=1) / 10 - values.mean()
    assert excludes_zero(values)
    assert not excludes_zero(values, trials=50)


def test_one_trial_alone_has_its_own_sign_flip_p():
    values = np.random.default_rng(6).normal(0.03, 0.15, 60)
    assert max_t_sign_flip_p([values], seed=1)[0] == sign_flip_p(values, seed=1)


def test_the_same_trial_many_times_is_one_trial():
    values = np.random.default_rng(6).normal(0.03, 0.15, 60)
    assert max_t_sign_flip_p(np.tile(values, (20, 1)), seed=1) == pytest.approx(sign_flip_p(values, seed=1))


def test_different_trials_are_adjusted_for_and_a_real_gain_stands_out():
    rng = np.random.default_rng(7)
    trials = rng.normal(0, 0.15, (20, 60))
    trials[5] = 0.01 * (trials[5] + 0.12)
    adjusted = max_t_sign_flip_p(trials, seed=1)
    assert adjusted[5] < 0.001
    assert np.delete(adjusted, 5).min() > 0.05
    assert all(a >= sign_flip_p(t, seed=1) - 0.01 for a, t in zip(adjusted, trials, strict=True))


def test_trials_without_a_gain_are_seldom_called_one():
    wrong = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        trials = rng.normal(0, 0.1, (1, 40)) + rng.normal(0, 0.1, (20, 40))
        wrong += max_t_sign_flip_p(trials, seed, flips=1000).min() < 0.05
    assert 0.02 < wrong / 400 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_a_cluster_is_its_mean_in_the_order_of_its_first_query():
    means = cluster_means([0.3, 0.1, 0.5, 0.2], ["b", "a", "b", "c"])
    assert means.tolist() == pytest.approx([0.4, 0.1, 0.2])
    with pytest.raises(ValueError, match="argument"):
        cluster_means([0.3, 0.1], ["b"])


def test_near_duplicates_would_fake_certainty():
    rng = np.random.default_rng(9)
    wrong = np.zeros(2)
    for _ in range(400):
        keys = np.repeat(np.arange(40), 4)
        values = rng.normal(0, 0.15, 40)[keys]
        wrong += [t_interval(values).low > 0, t_interval(cluster_means(values, keys.tolist())).low > 0]
    assert wrong[0] / 400 > 0.1
    assert wrong[1] / 400 < 0.025 + 3 * math.sqrt(0.025 * 0.975 / 400)


def test_what_lost_for_certain_is_named_and_small_domains_are_not_asked():
    flat = np.tile([-0.2, 0.2], 30)
    domains = {"fashion": flat, "grocery": flat + 0.05, "toys": flat - 0.02}
    assert harmed(domains) == []
    lost = flat - 0.15
    assert harmed({"tools": lost - 0.05, **domains, "books": lost, "tiny": np.full(9, -1.0)}) == [
        "tools",
        "books",
    ]


def test_holm_makes_one_of_many_domains_harder_to_call_harmed():
    flat = np.tile([-0.2, 0.2], 30)
    lost = flat - 1.9 * flat.std(ddof=1) / math.sqrt(60)
    assert harmed({"alone": lost}) == ["alone"]
    assert harmed({"alone": lost, "a": flat, "b": flat}) == []
    surely = flat - 5 * flat.std(ddof=1) / math.sqrt(60)
    assert harmed({"sure": surely, "also": lost}) == ["sure", "also"]


@pytest.mark.parametrize("skewed", [False, True])
def test_domains_are_seldom_called_harmed_where_none_is(skewed):
    rng = np.random.default_rng(11)
    wrong = 0
    for _ in range(400):
        draws = rng.gamma(0.3, 1, (8, 24)) - 0.3 if skewed else rng.normal(0, 0.55, (8, 24))
        wrong += bool(harmed(dict(enumerate(0.45 * draws))))
    assert wrong / 400 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_a_widened_spread_is_seldom_below_the_true_one():
    rng = np.random.default_rng(12)
    below = sum(widened_sd(rng.normal(0, 0.15, 20).std(ddof=1), 20) < 0.15 for _ in range(2000))
    assert below / 2000 == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 2000))
    assert widened_sd(0.15, 10_000) == pytest.approx(0.15, rel=0.02)
    with pytest.raises(ValueError, match="two values"):
        widened_sd(0.15, 1)


@pytest.mark.parametrize("n", [24, 60, 120])
def test_a_true_gain_of_zero_is_rarely_called_a_gain(n):
    rng = np.random.default_rng(n)
    wrong = sum(t_interval(rng.normal(0, 0.15, n)).low > 0 for _ in range(2000))
    assert wrong / 2000 < 0.025 + 3 * math.sqrt(0.025 * 0.975 / 2000)
