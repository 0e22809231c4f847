"""Does a table of vectors differ from noise?

Whitening leaves real embeddings with the flat spectrum and the cosine spread of noise, so second moments
cannot decide. What whitening cannot remove are near neighbours and heavy tails of the cosines; these are
held against tables drawn by chance, after centre, column scales and row lengths are taken from both.
"""

from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from verdict.isotropy_chance import Comparison, Floats
from verdict.isotropy_held import hold
from verdict.isotropy_shape import directions, distinct_rows, principal, varying_columns

FEWEST_ROWS, FEWEST_COLUMNS = 30, 8
MOST_ROWS, FEWEST_WHEN_WIDE, MOST_NUMBERS, MOST_READ = 3000, 1000, 1_500_000, 6000
"""Rows compared pair by pair: at most, for wide tables at least, numbers in them; rows looked at at all."""
UNKNOWN = float("nan")


@dataclass(frozen=True)
class Isotropy:
    """What the directions of a table say; figures that were not worked out are NaN."""

    noise: bool
    """True only where nothing tells the table from noise although something could."""
    told: bool
    """False where the table is too small, or too flat, to tell; `noise` is then False."""
    rows: int
    """Rows given."""
    n: int
    """Different rows compared."""
    duplicates: int
    """Rows equal to an earlier one, among those read."""
    width: int
    """Columns that vary."""
    axes: int = 0
    """Axes that the rows use: fewer than `width` where columns are copies or sums of each other."""
    cosine_sd: float = UNKNOWN
    """Of two rows, once centre and column scales are taken away."""
    cosine_sd_of_noise: float = UNKNOWN
    """1 / sqrt(axes)."""
    nearest: float = UNKNOWN
    """Mean cosine with the nearest other row."""
    nearest_of_noise: float = UNKNOWN
    tails: float = UNKNOWN
    """Fourth moment of the cosines over their squared second one."""
    tails_of_noise: float = UNKNOWN
    top_eigenvalue: float = UNKNOWN
    """Of the rows' second moments, whose eigenvalues have mean 1."""
    top_eigenvalue_of_noise: float = UNKNOWN
    """Marchenko and Pastur's edge."""
    flat: bool = False
    """Whether the cosines are more equal than chance leaves them, as after whitening."""
    p_spread: float = UNKNOWN
    p_nearest: float = UNKNOWN
    p_tails: float = UNKNOWN
    sentence: str = ""


def isotropy(vectors: Floats, seed: int = 0) -> Isotropy:
    """Return whether vectors (n, width) differ from noise, by their directions; rows repeated count once.

    Noise: independent columns of any distribution and scale, or random directions of any length, whitened
    or not. Long tables are judged by rows drawn with `seed`. Raises ValueError where a value is not finite
    or the table is not two-dimensional.
    """
    table = np.asarray(vectors, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise ValueError("isotropy needs a two-dimensional table of finite numbers")
    rng = np.random.default_rng(seed)
    read = _drawn(table, MOST_READ, rng)
    different = distinct_rows(read) if read.size else read
    different = different[:, varying_columns(different)] if different.size else different
    count, width = different.shape
    found = Isotropy(False, False, len(table), count, len(read) - count, width)
    if count < FEWEST_ROWS or width < FEWEST_COLUMNS:
        return replace(found, sentence=_too_small(count, width))
    most = min(MOST_ROWS, max(FEWEST_WHEN_WIDE, MOST_NUMBERS // width))
    with threadpool_limits(1, "blas"):  # hundreds of small decompositions: its threads wait for one another
        return _judged(found, _drawn(different, most, rng), rng)


def _drawn(table: Floats, most: int, rng: np.random.Generator) -> Floats:
    if len(table) <= most:
        return table
    return np.asarray(table[np.sort(rng.choice(len(table), most, replace=False))])


def _judged(found: Isotropy, table_ND: Floats, rng: np.random.Generator) -> Isotropy:
    unit = directions(table_ND)
    rows, top = principal(unit)
    held = hold(table_ND, unit, rows, rng)
    count, axes = rows.shape
    p_spread, p_nearest, p_tails = held.best.p_values
    found = replace(
        found,
        noise=held.verdict is True,
        told=held.verdict is not None,
        n=count,
        axes=axes,
        cosine_sd=float(np.sqrt(held.spread / axes)),
        cosine_sd_of_noise=float(1 / np.sqrt(axes)),
        nearest=held.observed.nearest,
        nearest_of_noise=held.best.expected.nearest,
        tails=held.observed.tails,
        tails_of_noise=held.best.expected.tails,
        top_eigenvalue=top,
        top_eigenvalue_of_noise=float((1 + np.sqrt(axes / count)) ** 2),
        flat=held.flat,
        p_spread=p_spread,
        p_nearest=p_nearest,
        p_tails=p_tails,
    )
    return replace(found, sentence=_sentence(found, held.best))


def _too_small(count: int, width: int) -> str:
    return (
        f"cannot tell: {count:,} different vectors with {width:,} columns that vary; "
        f"noise can be told from {FEWEST_ROWS} and {FEWEST_COLUMNS} on"
    )


def _sentence(found: Isotropy, best: Comparison) -> str:
    of = f" of {found.rows:,}" if found.n < found.rows else ""
    size = f"{found.n:,}{of} vectors of width {found.width:,}"
    if not found.told and found.flat:
        return f"cannot tell: {size} lie as evenly as whitening leaves so few, noise or not"
    if not found.told:
        return f"cannot tell: {size} are so few that noise and whitened vectors look alike"
    if not found.noise:
        return f"not noise: {_difference(found, best)}"
    axes = f" of {found.axes:,} axes" if found.axes < found.width else ""
    return (
        f"indistinguishable from noise: {size} lie as random directions{axes} do (cosine sd "
        f"{found.cosine_sd:.4f}, random {found.cosine_sd_of_noise:.4f}); nothing can be learned from them"
    )


def _difference(found: Isotropy, best: Comparison) -> str:
    """Return the plainest of the differences: neighbours before spread before tails."""
    spread, nearest, tails = best.significant
    if nearest > 0:
        return (
            "neighbours are closer than chance brings them (mean cosine with the nearest "
            f"{found.nearest:.3f}, random {found.nearest_of_noise:.3f})"
        )
    if spread > 0:
        return (
            "a few directions hold most of the differences (cosine sd "
            f"{found.cosine_sd:.4f}, random {found.cosine_sd_of_noise:.4f})"
        )
    if tails > 0:
        return (
            "some pairs are far more alike than chance makes them (fourth moment of the cosines "
            f"{found.tails:.2f}, random {found.tails_of_noise:.2f})"
        )
    return "the vectors lie more evenly than chance leaves them"
