import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics import mean_ndcg, ndcg_at_k, ndcg_per_query, random_ndcg_at_k

labels = st.lists(st.integers(0, 4), min_size=2, max_size=12).filter(lambda x: max(x) > 0 and len(set(x)) > 1)


@given(labels, st.data())
def test_bounds_and_invariance(relevance, data):
    scores = data.draw(st.lists(st.integers(-3, 3), min_size=len(relevance), max_size=len(relevance)))
    value = ndcg_at_k(scores, relevance)
    assert 0 <= value <= 1 + 1e-12
    assert ndcg_at_k([3 * s + 1 for s in scores], relevance) == pytest.approx(value)
    order = data.draw(st.permutations(range(len(relevance))))
    shuffled = ndcg_at_k([scores[i] for i in order], [relevance[i] for i in order])
    assert shuffled == pytest.approx(value)
    assert ndcg_at_k(relevance, relevance) == pytest.approx(1)


def test_ties_count_by_expectation_over_every_order():
    relevance, k = [3, 0, 1, 2], 2

    def plain(order):
        gains = [2.0 ** relevance[i] - 1 for i in order]
        return sum(g / math.log2(rank + 2) for rank, g in enumerate(gains[:k]))

    ideal = plain(sorted(range(4), key=lambda i: -relevance[i]))
    expected = np.mean([plain(order) for order in permutations(range(4))]) / ideal
    assert random_ndcg_at_k(relevance, k) == pytest.approx(expected)


def test_by_hand():
    expected = (1 / math.log2(2) + 7 / math.log2(4)) / (7 / math.log2(2) + 1 / math.log2(3))
    assert ndcg_at_k([3, 2, 1], [1, 0, 3]) == pytest.approx(expected)


def test_a_query_without_anything_to_rank_is_left_out():
    assert math.isnan(ndcg_at_k([1, 2], [0, 0]))
    assert math.isnan(ndcg_at_k([1, 2], [2, 2]))
    assert (
        mean_ndcg([np.array([1.0, 0.0]), np.array([1.0, 0.0])], [np.array([1, 0]), np.array([0, 0])]) == 1.0
    )


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="finite"):
        ndcg_at_k([float("nan"), 1], [1, 0])


@given(st.integers(0, 10_000), st.integers(2, 40), st.booleans())
def test_queries_computed_together_have_the_value_each_has_alone(seed, documents, coarse):
    rng = np.random.default_rng(seed)
    scores = [rng.normal(size=documents) for _ in range(12)]
    scores = [np.round(s) if coarse or i % 3 == 0 else s for i, s in enumerate(scores)]
    labels = [rng.integers(0, 5, documents) for _ in range(12)]
    labels[0], labels[1] = np.zeros(documents, int), np.full(documents, 2)
    alone = [ndcg_at_k(s, r) for s, r in zip(scores, labels, strict=True)]
    assert ndcg_per_query(scores, labels) == pytest.approx(alone, abs=1e-12, nan_ok=True)


def test_one_score_that_is_not_finite_is_refused_among_many():
    scores = [np.arange(20.0) for _ in range(8)]
    scores[5][3] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        ndcg_per_query(scores, [np.arange(20) % 3] * 8)


@pytest.mark.parametrize("grades", [5, 40])
@pytest.mark.parametrize("queries", [6, 600])
def test_a_whole_table_scores_as_its_queries_one_by_one(grades: int, queries: int):
    rng = np.random.default_rng(queries + grades)
    relevance = rng.integers(0, grades, (queries, 1000))
    relevance[0] = 2
    scores = np.round(rng.normal(size=(queries, 1000)), 2)
    scores[1] = rng.permutation(1000)
    together = ndcg_per_query(scores, relevance)
    alone = [ndcg_at_k(s, r) for s, r in zip(scores, relevance, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-12)
    assert np.isnan(together[0])
    scores[3, 5] = -np.inf
    with pytest.raises(ValueError, match="not finite"):
        ndcg_per_query(scores, relevance)
