import numpy as np
import pytest

from verdict.feature_files_cells import raw_kind, vectors_in


def vectors(seed):
    return np.random.default_rng(seed).normal(size=(40, 16)).astype(np.float32)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("kind", ["<f4", "<f8"])
def test_the_type_of_raw_floats_is_told_by_their_sizes(kind, scale):
    cells = [(scale * row).astype(kind).tobytes() for row in vectors(15)]
    assert raw_kind(cells) == np.dtype(kind)
    halved = [(scale * row).astype("<f2").astype(kind).tobytes() for row in vectors(15)]
    assert raw_kind(halved) == np.dtype(kind)


def test_bytes_that_are_no_floats_are_no_vectors():
    rng = np.random.default_rng(16)
    assert raw_kind([rng.bytes(64) for _ in range(50)]) is None
    assert vectors_in([rng.bytes(64) for _ in range(50)]) == ([], "")
    assert vectors_in([vectors(0)[0].astype("<f2").tobytes()] * 9) == ([], "")
    assert vectors_in([]) == ([], "")
