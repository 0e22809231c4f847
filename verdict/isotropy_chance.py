"""What chance does: tables of the same size without meaning, drawn and measured as the real one is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from verdict.isotropy_shape import Lie, directions, flattened, lie, unit_rows

Floats = NDArray[np.float64]
ALPHA = 5e-5
"""Per figure; small, because figures of thirty rows have longer tails than Student t."""
FLAT_ALPHA = 0.01
FEWEST_TABLES, MOST_TABLES, ROWS_DRAWN = 16, 40, 12_000
SAME_LENGTH = 1e-3


@dataclass(frozen=True)
class Comparison:
    """A table's figures beside those of chance."""

    expected: Lie
    """Their means over the drawn tables."""
    scores: tuple[float, float, float]
    """(observed - expected) / standard deviation for spread, nearest and tails: Student t under chance."""
    tables: int

    @property
    def p_values(self) -> tuple[float, float, float]:
        """Return the two-sided p of spread, nearest and tails."""
        low, middle, high = (2 * float(scipy.stats.t.sf(abs(s), self.tables - 1)) for s in self.scores)
        return low, middle, high

    @property
    def significant(self) -> tuple[float, float, float]:
        """Return the scores of spread, nearest and tails, 0 where chance explains them."""
        low, middle, high = (
            score if p <= ALPHA else 0.0 for score, p in zip(self.scores, self.p_values, strict=True)
        )
        return low, middle, high

    @property
    def explains(self) -> bool:
        """Return whether chance explains all three figures."""
        return min(self.p_values) > ALPHA

    @property
    def flat(self) -> bool:
        """Return whether the cosines are more equal than chance leaves them, as after whitening."""
        return self.scores[0] < float(scipy.stats.t.ppf(FLAT_ALPHA / 2, self.tables - 1))

    @property
    def distance(self) -> float:
        """Return the largest score, whatever its sign."""
        return max(abs(score) for score in self.scores)


def compare(observed: Lie, drawn: Iterator[Lie]) -> Comparison:
    """Return the comparison of one table's figures with those of at least two drawn tables.

    The scores allow for the mean being estimated too, so that t with one degree less per table holds.
    """
    figures = np.array([(each.spread, each.nearest, each.tails) for each in drawn])
    mean, tables = figures.mean(axis=0), len(figures)
    error = figures.std(axis=0, ddof=1) * np.sqrt(1 + 1 / tables)
    found = np.array([observed.spread, observed.nearest, observed.tails])
    spread, nearest, tails = ((found - mean) / np.maximum(error, 1e-9 * np.abs(mean) + 1e-12)).tolist()
    return Comparison(Lie(*mean.tolist()), (spread, nearest, tails), tables)


def tables_for(rows: int) -> int:
    """Return how many tables to draw: many where they are small and their figures vary."""
    return max(FEWEST_TABLES, min(MOST_TABLES, ROWS_DRAWN // rows))


def random_lies(rows: int, width: int, rng: np.random.Generator, flat: bool = False) -> Iterator[Lie]:
    """Yield the figures of tables of independent normal numbers: directions without any preference.

    With `flat` they are whitened too.
    """
    finish: Callable[[Floats], Floats] = flattened if flat else np.asarray
    for _ in range(tables_for(rows)):
        yield lie(finish(directions(rng.standard_normal((rows, width)))))


def shuffled_lies(table_ND: Floats, rng: np.random.Generator) -> Iterator[Lie]:
    """Yield the figures of copies whose columns are shuffled each on its own: same numbers, no rows left.

    They are exact for independent columns of any distribution. Where all rows have one length, so have
    the copies' rows.
    """
    lengths = np.linalg.norm(table_ND, axis=1)
    same = float(lengths.std()) < SAME_LENGTH * float(lengths.mean())
    for _ in range(tables_for(len(table_ND))):
        mixed = rng.permuted(table_ND, axis=0)
        yield lie(directions(unit_rows(mixed)[0] if same else mixed))
