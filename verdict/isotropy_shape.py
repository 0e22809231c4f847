"""The directions of a table of vectors: free of centre, column scales and row lengths, and how they lie."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Floats = NDArray[np.float64]
ROUNDS, SETTLED, FLATTENINGS, LEANING = 40, 0.03, 8, 4.0
SAME, TINY = 1e-5, 1e-12
CONSTANT, ROUNDING = 1e-9, 1e-9
"""A column that varies less, and an axis that holds less, relative to the largest, are only rounding."""


@dataclass(frozen=True)
class Lie:
    """How the directions of a table lie to each other; turning the axes changes none of the three."""

    spread: float
    """Mean squared cosine of two rows, times the width: 1 for random directions, more where few axes rule."""
    nearest: float
    """Mean over the rows of the cosine with the nearest other row."""
    tails: float
    """Fourth moment of the cosines over their squared second one: about 3 for random directions."""


def distinct_rows(table_ND: Floats) -> Floats:
    """Return the rows (M, D) that differ beyond rounding at single precision, in their first order.

    Equal rows are neighbours in the order of any one projection.
    """
    rows = table_ND / np.maximum(np.abs(table_ND).max(axis=0), TINY)
    order = np.argsort(rows @ np.random.default_rng(0).standard_normal(rows.shape[1]), kind="stable")
    again = np.abs(np.diff(rows[order], axis=0)).max(axis=1) < SAME
    group = np.r_[0, np.cumsum(~again)]
    first = np.full(group[-1] + 1, len(rows))
    np.minimum.at(first, group, order)
    return np.asarray(table_ND[np.sort(first)])


def varying_columns(table_ND: Floats) -> NDArray[np.bool_]:
    """Return which of the D columns are not constant, as a mask (D,)."""
    largest = np.maximum(np.abs(table_ND).max(axis=0), TINY)
    return np.asarray(np.ptp(table_ND, axis=0) > CONSTANT * largest)


def unit_rows(rows_ND: Floats) -> tuple[Floats, Floats]:
    """Return the rows at length 1 (N, D), and one over the lengths they had (N,)."""
    inverse = 1.0 / np.maximum(np.sqrt(np.einsum("nd,nd->n", rows_ND, rows_ND)), TINY)
    return rows_ND * inverse[:, None], inverse


def directions(table_ND: Floats) -> Floats:
    """Return unit rows (N, D) free of a common centre, of column scales and of row lengths.

    The centre is the spatial median and the scales are the diagonal of Tyler's shape matrix (Tyler 1987,
    Annals of Statistics 15:234), so that a few long rows decide neither. Where the rows lean nowhere to
    begin with, the centre stays at zero: short rows between long ones are worth more than an estimate.
    No column may be constant.
    """
    count, width = table_ND.shape
    plain = _balanced(table_ND, centred=False)
    lean = plain.mean(axis=0)
    if count * float(lean @ lean) < 1 + LEANING * np.sqrt(2 / width):
        return plain
    return _balanced(table_ND, centred=True)


def _balanced(table_ND: Floats, centred: bool) -> Floats:
    width, enough = table_ND.shape[1], SETTLED / np.sqrt(len(table_ND))
    centre = table_ND.mean(axis=0) if centred else np.zeros(width)
    scale = np.sqrt(((table_ND - centre) ** 2).mean(axis=0))
    for _ in range(ROUNDS):
        rows, inverse = unit_rows((table_ND - centre) / scale)
        lean = rows.mean(axis=0) * centred
        growth = np.sqrt(width * np.einsum("nd,nd->d", rows, rows) / len(rows))
        centre = centre + scale * lean / inverse.mean()
        scale = scale * np.maximum(growth, TINY)
        if np.linalg.norm(lean) < enough and np.abs(growth - 1).mean() < enough:
            break
    return rows


def principal(rows_ND: Floats) -> tuple[Floats, float]:
    """Return the rows on the axes they use, (N, R), and the largest eigenvalue of their second moments.

    R is D unless the rows lie in fewer axes than so many rows could. The eigenvalues' mean is 1, so that
    random directions stay below Marchenko and Pastur's edge (1967), (1 + sqrt(R / N))^2.
    """
    count, width = rows_ND.shape
    wide = width >= count
    values, axes = np.linalg.eigh(rows_ND @ rows_ND.T if wide else rows_ND.T @ rows_ND)
    used = values > ROUNDING * values[-1]
    rank = int(used.sum())
    if rank >= min(count - 1, width):
        return rows_ND, float(values[-1]) * width / count
    rows = axes[:, used] * np.sqrt(values[used]) if wide else rows_ND @ axes[:, used]
    return rows, float(values[-1]) * rank / count


def flattened(rows_NR: Floats) -> Floats:
    """Return unit rows (N, R) whitened until nothing changes: Tyler's shape made round; needs N > R.

    It completes a whitening done before, so that whitened tables and whitened noise can be compared.
    """
    rows, (count, width) = rows_NR, rows_NR.shape
    for _ in range(FLATTENINGS):
        shape = rows.T @ rows * (width / count) + TINY * np.eye(width)
        root = linalg.cholesky(shape, lower=True, check_finite=False)
        rows = unit_rows(linalg.solve_triangular(root, rows.T, lower=True, check_finite=False).T)[0]
    return rows


def lie(rows_NR: Floats) -> Lie:
    """Return how N unit rows lie to each other, over all pairs of different rows."""
    single = rows_NR.astype(np.float32)
    cosines, count = single @ single.T, len(single)
    np.fill_diagonal(cosines, -1.0)
    nearest = float(cosines.max(axis=1).mean(dtype=np.float64))
    np.fill_diagonal(cosines, 0.0)
    squares = np.square(cosines, out=cosines)
    pairs = count * (count - 1)
    second = float(squares.sum(dtype=np.float64)) / pairs
    fourth = float(np.square(squares, out=squares).sum(dtype=np.float64)) / pairs
    return Lie(second * rows_NR.shape[1], nearest, fourth / max(second, TINY) ** 2)
