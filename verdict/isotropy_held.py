"""A table's directions held against each kind of chance in turn: plain, whitened, shuffled."""

from dataclasses import dataclass, replace

import numpy as np

from verdict.isotropy_chance import Comparison, Floats, compare, random_lies, shuffled_lies
from verdict.isotropy_shape import Lie, flattened, lie

FLAT_ROWS, FLAT_ROWS_PER_AXIS, FLAT_TAILS = 200, 1.2, 12.0
"""A whitened table is called noise only with so many rows, so many per axis, and tails no heavier than
so many standard deviations, which whitened noise of that size never reached."""
NARROW = ((16, 400), (33, 150))
"""With fewer axes than the first, whitened embeddings of fewer rows than the second can pass for noise."""
FEW, SURE_OF_FEW = 100, 0.01
"""With fewer rows than the first, noise is said only where every p is above the second."""


@dataclass(frozen=True)
class Held:
    """A table's figures beside those of chance, and what follows."""

    spread: float
    """Mean squared cosine of the rows as they are, times their axes."""
    observed: Lie
    """The figures compared: of the rows as they are, or whitened where they are flat."""
    best: Comparison
    """With the kind of chance that explains the table best."""
    flat: bool
    """Whether the cosines are more equal than chance leaves them, as after whitening."""
    verdict: bool | None
    """True: noise; False: not noise; None: so small or flat a table cannot tell."""


def hold(table_ND: Floats, unit_ND: Floats, rows_NR: Floats, rng: np.random.Generator) -> Held:
    """Return what chance explains of a table, its directions, and those on the axes they use.

    One kind of chance that explains every figure is enough for noise.
    """
    observed, (count, axes) = lie(rows_NR), rows_NR.shape
    plain = compare(observed, random_lies(count, axes, rng))
    narrow = any(axes < most and count < rows for most, rows in NARROW)
    held = Held(observed.spread, observed, plain, plain.flat, _noise(plain, count, narrow))
    if plain.flat:
        held = _hold_flat(rows_NR, held, narrow, rng)
    if held.verdict or (narrow and held.verdict is None):
        return held
    whole = lie(unit_ND)
    shuffled = compare(whole, shuffled_lies(table_ND, rng))
    if shuffled.explains and not shuffled.flat:
        verdict = _noise(shuffled, count, narrow)
        return replace(held, observed=whole, best=shuffled, flat=False, verdict=verdict)
    if held.verdict is None or held.best.distance <= shuffled.distance:
        return held
    return replace(held, observed=whole, best=shuffled)


def _hold_flat(rows_NR: Floats, held: Held, narrow: bool, rng: np.random.Generator) -> Held:
    count, axes = rows_NR.shape
    if held.best.scores[2] > FLAT_TAILS:
        return replace(held, verdict=False)
    if count < FLAT_ROWS_PER_AXIS * axes:
        return replace(held, verdict=None)
    again = lie(flattened(rows_NR))
    whitened = compare(again, random_lies(count, axes, rng, flat=True))
    verdict = _noise(whitened, count, narrow or count < FLAT_ROWS)
    return replace(held, observed=again, best=whitened, verdict=verdict)


def _noise(compared: Comparison, count: int, unsure: bool) -> bool | None:
    if not compared.explains:
        return False
    return None if unsure or (count < FEW and min(compared.p_values) < SURE_OF_FEW) else True
