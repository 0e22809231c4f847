"""Controls on a person's Compliance@1, on functions that return a gain, and on functions of many queries."""

from collections.abc import Mapping

import numpy as np

from models.metrics import ndcg_per_query
from verdict.metric_batches import EMPTY, QUERIES, Batches
from verdict.metric_controls import (
    EXACT,
    ODD,
    Findings,
    Measured,
    drawn,
    out_of_range,
    tie_findings,
    unchanged,
    unusable,
)
from verdict.metric_known import SAME


def compliance_findings(measured: Measured, batches: Batches, in_order: bool) -> Findings:
    """Return what is wrong with a Compliance@1: it may see nothing but whether the top item complies."""
    blocked = unusable(measured, [b for b in batches if b not in ODD])
    if blocked:
        return Findings(blocked)
    yes, no = measured.mean("yes"), measured.mean("no")
    facts: dict[str, float | int | str] = {"metric": "Compliance@1", "queries": QUERIES}
    facts |= {"top_complies": yes, "top_does_not": no}
    if measured.gap("yes", "no") < EXACT:
        failures = ["its value does not depend on whether the top item complies"]
        return Findings(failures + unchanged(measured, in_order) + out_of_range(measured), facts=facts)
    failures = out_of_range(measured)
    if np.abs(measured.values["yes"] - 1).max() > EXACT:
        failures.append(f"a top item that complies counts {yes:.4f} instead of 1")
    if np.abs(measured.values["no"]).max() > EXACT:
        failures.append(f"a top item that breaks a constraint counts {no:.4f} instead of 0")
    if measured.gap("good", "others") > EXACT:
        failures.append("its value depends on items below the top one")
    failures += unchanged(measured, in_order) + _none_complies(measured)
    ties = Findings([]) if in_order else _tied_top(measured, batches)
    return Findings(failures + ties.failures, ties.notes, ties.limits, facts)


def _none_complies(measured: Measured) -> list[str]:
    values = measured.values["empty"][np.isfinite(measured.values["empty"])]
    if not values.size or values.max() <= EXACT:
        return []
    return [f"a query where nothing complies counts {values.max():.4f} instead of 0"]


def _tied_top(measured: Measured, batches: Batches) -> Findings:
    chance = float(np.mean([c.labels.mean() for c in batches["tied"]]))
    by_rows = measured.gap("tied", "tied rows") > EXACT
    # Taking the first of equal tops is how everybody writes it: a limit, whether documented or not.
    return tie_findings(by_rows, by_rows, measured.mean("tied"), chance, EXACT)


def gain_findings(measured: Measured, batches: Batches) -> Findings:
    """Return what is wrong with a function that gives a new ranking's gain over a baseline."""
    blocked = unusable(measured, [b for b in batches if b not in ODD])
    if blocked:
        return Findings(blocked)
    better, itself = measured.mean("better"), measured.values["self"]
    failures = drawn(measured)
    if failures:
        return Findings(failures)
    if np.abs(itself).max() > 0:
        failures.append(
            f"the baseline against itself gives a gain of {itself.mean():+.4f} instead of exactly 0"
        )
    if measured.gap("better", "other labels") < EXACT:
        failures.append("its value does not depend on the labels: other labels, the same number")
    elif better <= 0 or better <= measured.mean("worse"):
        failures.append(f"the perfect ranking against a random one gives {better:+.4f}, which is no gain")
    failures += _gains_by_chance(measured) + unchanged(measured, False) + out_of_range(measured, -1.0)
    swapped = float(np.abs(measured.values["better"] + measured.values["worse"]).max())
    notes = ["the gain of A over B is not minus the gain of B over A"] if swapped > SAME else []
    facts: dict[str, float | int | str] = {"queries": QUERIES, "self": float(itself.mean()), "better": better}
    facts["largest_difference_from_ours"] = apart = _from_ours(measured, batches)
    facts["metric"] = "a gain in nDCG@10" if apart < SAME else "a gain over a baseline"
    return Findings(failures, notes, facts=facts)


def _gains_by_chance(measured: Measured) -> list[str]:
    failures, empty = [], measured.values["empty"]
    for batch, words in (
        ("chance", "a random ranking against another"),
        ("other labels", "a ranking of which the labels are shuffled"),
    ):
        if abs(measured.mean(batch)) > measured.error(batch, batch):
            failures.append(f"{words} gives {measured.mean(batch):+.4f} instead of 0 within chance")
    if np.abs(empty[np.isfinite(empty)]).max(initial=0.0) > EXACT:
        failures.append("a query without a relevant item has a gain; it must be left out or count 0")
    return failures


def _from_ours(measured: Measured, batches: Batches) -> float:
    cases = [c for c in batches["good"] if c.base is not None]
    labels = [c.labels for c in cases]
    new = ndcg_per_query([c.scores for c in cases], labels)
    base = ndcg_per_query([c.base for c in cases if c.base is not None], labels)
    return float(np.abs(new - base - measured.values["good"]).max())


def whole_failures(measured: Measured, sets: Mapping[str, float]) -> tuple[list[str], list[str]]:
    """Return failures and notes on how queries are added up; `sets` are the values of `whole_sets`."""
    single, together = measured.mean("good"), sets["all"]
    failures = []
    if abs(together - sets["mixed"]) > SAME:
        failures.append("the order of the queries changes its value")
    # Left out, or counted as 0: both are the same rule for every system.
    counted_0 = together * QUERIES / (QUERIES + EMPTY)
    if min(abs(sets["with empty"] - together), abs(sets["with empty"] - counted_0)) > SAME:
        failures.append(
            f"queries without a relevant item change its value from {together:.4f} to "
            f"{sets['with empty']:.4f}; they must be left out or count 0"
        )
    perfect, worst = measured.mean("oracle"), measured.mean("reverse")
    if perfect - worst > 0.1 and abs(sets["half lost"] - perfect) < EXACT:
        failures.append(
            "queries that find nothing are left out: two systems would be compared on different ones"
        )
    plain = abs(together - single) < SAME
    return failures, [] if plain else ["its value for many queries is not the mean of theirs"]
