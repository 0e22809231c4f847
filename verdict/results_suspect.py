"""What two systems' values or labels look like that no fair comparison gave."""

from collections.abc import Mapping

import numpy as np
import scipy

from verdict.results_read import UNNAMED, Floats, Ranked
from verdict.results_values import SAME, rounding
from verdict.statistics import N_MIN

FEWEST = 5
"""Fewer pairs can be constant by accident."""
UNRELATED, NORMAL = 0.25, 0.05


def invented(before: Floats, after: Floats, raw: bool) -> str:
    """Return why these pairs of values cannot come from two systems; empty where they can.

    `raw`: they were recomputed from raw scores.
    """
    differences, near = after - before, max(SAME, 2 * rounding(np.r_[before, after]))
    if before.min() >= 1 - SAME:
        return "saturated: the baseline already scores 1.0000 everywhere, so no gain can be measured"
    if not differences.any():
        if raw:
            return "both systems rank alike: it is one system compared with itself"
        return "both columns are identical: the baseline is compared with itself, which is not 'no gain'"
    if before.size < FEWEST:
        return ""
    if np.ptp(differences) <= near and abs(differences.mean()) > near:
        return f"every query gains the same {differences.mean():+.4f}, which no two systems do"
    factor = float(np.median(after[before > SAME] / before[before > SAME])) if (before > SAME).any() else 1.0
    if np.abs(after - factor * before).max() <= near and abs(factor - 1) > SAME:
        return f"one system's values are the other's times {factor:.4f}"
    return ""


def looks_drawn(before: Floats, after: Floats) -> str:
    """Return what makes values look drawn around a mean, or nothing; a suspicion, never a proof.

    Real values share each query's difficulty and reach 0 or 1 in places; drawn ones do neither.
    """
    extreme = ((before < SAME) | (before > 1 - SAME) | (after < SAME) | (after > 1 - SAME)).any()
    if extreme or before.size < N_MIN or min(before.std(), after.std()) < SAME:
        return ""
    related = float(np.corrcoef(before, after)[0, 1])
    normal = min(float(scipy.stats.shapiro(values).pvalue) for values in (before, after))
    if abs(related) > UNRELATED or normal < NORMAL:
        return ""
    return f"; they look drawn at random: no 0, no 1, a normal curve, and the systems unrelated (r = {related:.2f})"


def labels_differ(ranked: Mapping[str, Mapping[str, Ranked]]) -> str:
    """Return that two systems were given different labels for the same candidates, or an empty text."""
    seen: dict[tuple[str, str], float] = {}
    for queries in ranked.values():
        for query, pool in queries.items():
            # Without ids the order may be each system's own; then only the sorted labels can be compared.
            named = not pool.ids[0].startswith(UNNAMED)
            labels = pool.labels if named else np.sort(pool.labels)
            for item, label in zip(pool.ids, labels.tolist(), strict=True):
                known = seen.setdefault((query, item), label)
                if known != label and np.isfinite(known) and np.isfinite(label):
                    return f"two systems were judged by different labels, those of query {query} among them"
    return ""
