import math
import time

import numpy as np
import pytest
from scipy import stats

from verdict.isotropy import isotropy
from verdict.isotropy_chance import compare, random_lies
from verdict.isotropy_shape import directions, distinct_rows, lie, principal


def gauss(rng, n, d):
    return rng.standard_normal((n, d))


def at_length_one(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def unit(rng, n, d):
    return at_length_one(gauss(rng, n, d))


def repeated(rng, n, d):
    rows = unit(rng, n, d)
    return np.vstack([rows, rows[rng.integers(0, n, n // 4)]])


NOISE = {
    "normal": gauss,
    "unit length": unit,
    "stored as 16-bit floats": lambda rng, n, d: unit(rng, n, d).astype(np.float16),
    "uniform": lambda rng, n, d: rng.random((n, d)),
    "uniform at unit length": lambda rng, n, d: at_length_one(rng.random((n, d))),
    "signs": lambda rng, n, d: rng.choice([-1.0, 1.0], (n, d)),
    "heavy tails": lambda rng, n, d: rng.standard_t(3, (n, d)),
    "columns of many scales": lambda rng, n, d: gauss(rng, n, d) * np.exp(rng.normal(0, 1.5, d)),
    "rows of many lengths": lambda rng, n, d: gauss(rng, n, d) * np.exp(rng.normal(0, 1.5, (n, 1))),
    "random and scaled rows mixed": lambda rng, n, d: (
        gauss(rng, n, d) * np.where(np.arange(n) % 2, 1, 25)[:, None]
    ),
    "two kinds side by side": lambda rng, n, d: np.hstack(
        [unit(rng, n, d // 2), 5 * rng.random((n, d // 2))]
    ),
    "rows repeated": repeated,
}


@pytest.mark.parametrize("kind", NOISE)
@pytest.mark.parametrize(("n", "d"), [(40, 512), (200, 64), (600, 128)])
def test_noise_is_called_noise(kind, n, d):
    for seed in range(3):
        found = isotropy(NOISE[kind](np.random.default_rng(seed), n, d), seed=seed)
        assert found.noise or not (found.told or n >= 100), found


def whitened(table, axes=None, zca=False, unit_length=False):
    centred = table - table.mean(axis=0)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    axes = min(axes or len(sizes), int((sizes > 1e-6 * sizes[0]).sum()))
    rows = left[:, :axes] * math.sqrt(len(table))
    rows = rows @ right[:axes] if zca else rows
    return at_length_one(rows) if unit_length else rows


@pytest.mark.parametrize("unit_length", [False, True])
@pytest.mark.parametrize(("n", "d", "axes"), [(300, 40, None), (500, 128, None), (600, 200, 64)])
def test_noise_that_somebody_whitened_is_still_noise(n, d, axes, unit_length):
    found = isotropy(whitened(gauss(np.random.default_rng(n), n, d), axes, unit_length=unit_length))
    assert found.noise
    assert found.flat
    assert found.cosine_sd < found.cosine_sd_of_noise


def test_uniform_noise_put_to_unit_length_is_noise_in_few_columns_too():
    for seed in range(5):
        assert isotropy(at_length_one(np.random.default_rng(seed).random((500, 24)))).noise


def test_noise_copied_into_more_columns_is_seen_through():
    found = isotropy(np.tile(gauss(np.random.default_rng(1), 400, 32), 8))
    assert found.noise
    assert (found.width, found.axes) == (256, 32)
    assert "32 axes" in found.sentence


def test_repeated_rows_count_once():
    found = isotropy(repeated(np.random.default_rng(2), 200, 64))
    assert (found.rows, found.n, found.duplicates) == (250, 200, 50)
    assert found.noise


def test_the_sentence_says_how_the_vectors_lie():
    found = isotropy(unit(np.random.default_rng(3), 500, 512))
    assert found.sentence.startswith("indistinguishable from noise: 500 vectors of width 512")
    assert "random 0.0442" in found.sentence
    assert found.cosine_sd == pytest.approx(1 / math.sqrt(512), rel=0.01)
    assert found.top_eigenvalue == pytest.approx(found.top_eigenvalue_of_noise, rel=0.05)


def test_neighbours_spread_and_tails_each_give_noise_away():
    rng = np.random.default_rng(4)
    base, ruling = gauss(rng, 200, 64), np.outer(rng.standard_normal(1000), rng.standard_normal(16))
    near = isotropy(np.vstack([base, base[:100] + 0.1 * gauss(rng, 100, 64)]))
    ruled = isotropy(gauss(rng, 1000, 16) + 0.22 * ruling)
    pairs = gauss(rng, 1000, 64)
    pairs[1:12:2] = -pairs[:11:2] + 1e-3 * gauss(rng, 6, 64)
    tails = isotropy(pairs)
    assert not near.noise
    assert "neighbours are closer" in near.sentence
    assert not ruled.noise
    assert "a few directions" in ruled.sentence
    assert not tails.noise
    assert "far more alike" in tails.sentence


@pytest.mark.parametrize(("n", "d"), [(29, 64), (200, 7)])
def test_too_small_a_table_tells_nothing(n, d):
    found = isotropy(gauss(np.random.default_rng(5), n, d))
    assert not found.noise
    assert not found.told
    assert found.sentence.startswith("cannot tell")


def test_a_few_rows_of_few_axes_could_be_whitened_embeddings():
    found = isotropy(gauss(np.random.default_rng(6), 60, 10))
    assert (found.noise, found.told) == (False, False)


def test_fewer_rows_than_columns_keep_nothing_through_whitening():
    found = isotropy(whitened(gauss(np.random.default_rng(7), 100, 300)))
    assert (found.noise, found.told, found.flat) == (False, False, True)
    assert "as evenly as whitening leaves" in found.sentence


@pytest.mark.parametrize("broken", [np.full((50, 16), np.nan), np.zeros(50)])
def test_broken_tables_are_refused(broken):
    with pytest.raises(ValueError, match="finite"):
        isotropy(broken)


def test_the_drawn_neighbours_are_those_of_the_exact_null():
    rows, width = 200, 64
    drawn = np.mean([each.nearest for each in random_lies(rows, width, np.random.default_rng(8))])
    squared = stats.beta(0.5, (width - 1) / 2)
    at = np.linspace(-1, 1, 200_001)
    below = 0.5 + np.sign(at) * squared.cdf(at**2) / 2
    exact = 1 - np.trapezoid(below ** (rows - 1), at)
    assert drawn == pytest.approx(exact, abs=0.003)


def test_scores_are_student_t_under_chance():
    rng = np.random.default_rng(9)
    scores = [
        compare(lie(directions(gauss(rng, 60, 24))), random_lies(60, 24, rng)).scores for _ in range(150)
    ]
    assert np.abs(np.mean(scores, axis=0)).max() < 0.35
    assert np.std(scores, axis=0) == pytest.approx(np.ones(3), abs=0.25)


def test_directions_forget_centre_scale_and_length():
    rng = np.random.default_rng(10)
    plain = gauss(rng, 300, 20)
    moved = (plain + 4) * np.exp(rng.normal(0, 1, 20))
    cosines = np.sum(directions(plain) * directions(moved), axis=1)
    assert cosines.min() > 0.98
    assert np.linalg.norm(directions(moved), axis=1) == pytest.approx(np.ones(300))


def test_distinct_rows_ignore_rounding_but_no_more():
    rows = gauss(np.random.default_rng(11), 50, 256)
    again = rows.astype(np.float32).astype(np.float64)
    assert np.array_equal(distinct_rows(np.vstack([rows, again, rows])), rows)
    assert len(distinct_rows(np.vstack([rows, rows * 1.001]))) == 100


def test_principal_axes_keep_all_cosines():
    rows = directions(np.tile(gauss(np.random.default_rng(12), 100, 10), 3))
    axes, top = principal(rows)
    assert axes.shape == (100, 10)
    assert axes @ axes.T == pytest.approx(rows @ rows.T, abs=1e-9)
    assert top > 1


def test_five_thousand_vectors_take_seconds():
    table = gauss(np.random.default_rng(13), 5000, 512)
    start = time.process_time()
    found = isotropy(table)
    assert found.noise
    assert found.sentence.startswith("indistinguishable from noise: 2,929 of 5,000 vectors")
    assert time.process_time() - start < 20  # of all cores together


@pytest.mark.slow
def test_noise_is_taken_for_more_in_under_one_of_a_hundred():
    kinds = ["normal", "unit length", "uniform", "signs", "columns of many scales"]
    answers = [
        isotropy(NOISE[kinds[seed % 5]](np.random.default_rng(1000 + seed), 120, 48), seed=seed)
        for seed in range(300)
    ]
    assert sum(each.told and not each.noise for each in answers) < 3
    assert sum(each.noise for each in answers) > 290
