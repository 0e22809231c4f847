import numpy as np

from verdict.reextraction import _unlike

rng = np.random.default_rng(2)


def test_vectors_agree_up_to_rounding_and_noise_does_not():
    made = rng.normal(size=(30, 64)).astype(np.float32)
    assert _unlike("image", made + 1e-4, made) == 0
    assert _unlike("image", rng.normal(size=made.shape), made) == 30
    assert _unlike("image", None, made) == 30
    assert _unlike("image", made[:, :5], made) == 30
    one = made.copy()
    one[3] = -one[3]
    assert _unlike("image", one, made) == 1


def test_whitened_features_agree_with_themselves():
    raw = rng.normal(size=(200, 8)) @ rng.normal(size=(8, 40))
    left, _, right = np.linalg.svd(raw - raw.mean(axis=0), full_matrices=False)
    white = (left @ right).astype(np.float32)
    assert _unlike("text", white.copy(), white) == 0
    assert _unlike("text", rng.permutation(white), white) > 190


def test_items_without_a_picture_are_equal_and_empty():
    assert _unlike("image", np.zeros((4, 9)), np.zeros((4, 9))) == 0
    assert _unlike("image", np.ones((4, 9)), np.zeros((4, 9))) == 4


def test_a_table_is_compared_column_by_column_and_missing_values_are_values():
    made = np.column_stack([rng.normal(size=30) * 1e6, rng.normal(size=30), np.full(30, np.nan)])
    assert _unlike("features", made * (1 + 1e-5), made) == 0
    noise = made.copy()
    noise[:, 1] = rng.normal(size=30)
    assert _unlike("features", noise, made) > 25
    filled = made.copy()
    filled[:, 2] = 0.0
    assert _unlike("features", filled, made) == 30
