import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from models.scorers import Request
from verdict.timing import distinct_texts, mixed_requests, one_thread, time_calls


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_everything_computes_on_one_core_while_it_is_timed_and_not_after():
    before = blas_threads(), torch.get_num_threads()
    seen = []
    time_calls([lambda: seen.append((blas_threads(), torch.get_num_threads()))] * 3, "a path")
    assert seen
    assert set(map(str, seen)) == {str(({1}, 1))}
    assert (blas_threads(), torch.get_num_threads()) == before
    with pytest.raises(ZeroDivisionError), one_thread():
        _ = 1 / 0
    assert torch.get_num_threads() == before[1]


def test_a_thousand_requests_are_distinct_pools_of_thirty():
    rng = np.random.default_rng(1)
    given = [
        Request({"features": rng.normal(size=(30, 4)).astype(np.float32)}, np.array([n], np.float32))
        for n in range(7)
    ]
    pools = list(mixed_requests(given, 1000, seed=1))
    assert len(pools) == 1000
    assert all(len(request.parts["features"]) == 30 for request in pools)
    assert len({request.parts["features"].tobytes() + request.query.tobytes() for request in pools}) == 1000


def test_texts_are_made_distinct_by_pairing_them():
    texts = distinct_texts(["red tea", "beer", "red tea"], 3)
    assert texts == ["red tea", "beer", "red tea beer"]
    assert distinct_texts(["tea"], 3) == ["tea", "tea 2", "tea 3"]


def test_calls_that_warm_up_are_not_timed():
    made = []
    timed = time_calls([lambda n=n: made.append(n) for n in range(5)], "a path", warm_up=2)
    assert made == [0, 1, 2, 3, 4]
    assert timed.calls == 3
