"""Controls on a person's ranking metric: rankings whose value is known, and changes that must change nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.metrics import ndcg_per_query, random_ndcg_at_k
from verdict.metric_batches import QUERIES, Batches
from verdict.metric_known import SAME, Known, recognise

Floats = NDArray[np.float64]
EXACT = 1e-9
ERRORS = 4.0
"""Standard errors that a mean may lie from what chance gives."""
WITHOUT_TIES = ("good", "random", "oracle", "reverse")
ODD = ("tied", "tied rows", "coarse", "coarse rows", "empty")
"""Batches that a function may refuse without being useless."""
WORDS = {"reverse": "ranked worst first", "random": "ranked at random", "oracle": "ranked perfectly"}


@dataclass(frozen=True)
class Measured:
    """What a function gave, batch by batch."""

    values: Mapping[str, Floats]
    """One number per case; NaN where it gave none."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """Batch -> what the function raised first."""

    def mean(self, batch: str) -> float:
        """Return the mean of a batch over the cases that have a value; NaN where none has."""
        values = self.values[batch][np.isfinite(self.values[batch])]
        return float(values.mean()) if values.size else float("nan")

    def gap(self, first: str, second: str) -> float:
        """Return the largest difference between two batches, case by case."""
        return float(np.abs(self.values[first] - self.values[second]).max())

    def error(self, first: str, second: str) -> float:
        """Return so much as the means of two batches may differ by chance."""
        spread = [self.values[batch].var() / len(self.values[batch]) for batch in (first, second)]
        return ERRORS * float(np.sqrt(sum(spread))) + EXACT


@dataclass(frozen=True)
class Findings:
    """What the controls say."""

    failures: list[str]
    notes: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    """Where it holds only in part: sound there, not elsewhere."""
    facts: dict[str, float | int | str] = field(default_factory=dict)


def ranking_findings(measured: Measured, batches: Batches, in_order: bool, tie_words: bool) -> Findings:
    """Return what is wrong with a ranking metric, what should be known of it, and its figures.

    `in_order`: it was given ranked lists, so that ties and rows do not arise. `tie_words`: its own
    documentation says what happens to ties.
    """
    blocked = unusable(measured, [b for b in batches if b not in ODD])
    if blocked:
        return Findings(blocked)
    # Where the value is blind to the labels, every later control fails for that one reason: say it alone.
    root = drawn(measured) or _blind(measured)
    if root:
        return Findings(root + out_of_range(measured), facts=_facts(measured, batches, None))
    labelled = [c for b in WITHOUT_TIES for c in batches[b]]
    known = recognise(labelled, np.concatenate([measured.values[b] for b in WITHOUT_TIES]))
    failures = out_of_range(measured) + _order_failures(measured, known) + unchanged(measured, in_order)
    failures += _chance_failures(measured, batches, known) + _empty(measured)
    ties = Findings([]) if in_order else _ties(measured, tie_words)
    linear = known is not None and "linear" in known.gain and not _is_binary(batches)
    notes = [*ties.notes, *(["its gain is linear, not 2^label - 1"] if linear else [])]
    if "empty" in measured.errors:
        notes.append(f"it stops on a query without a relevant item: {measured.errors['empty']}")
    return Findings(failures + ties.failures, notes, ties.limits, _facts(measured, batches, known))


def unusable(measured: Measured, batches: Sequence[str]) -> list[str]:
    """Return why there are no numbers to judge, where there are none."""
    raised = [b for b in batches if b in measured.errors]
    if raised:
        return [f"it stops on an ordinary query: {measured.errors[raised[0]]}"]
    if any(np.isinf(measured.values[b]).any() for b in batches):
        return ["it gives infinite values for ordinary queries"]
    without = {b: int(np.isnan(measured.values[b]).sum()) for b in batches}
    if all(without[b] == len(measured.values[b]) for b in batches):
        return ["it gives no number for any query that has relevant items"]
    if any(without.values()):
        worst = max(without, key=lambda b: without[b])
        return [
            f"whether a query is left out depends on the ranking ({without[worst]} of "
            f"{len(measured.values[worst])} queries {WORDS.get(worst, 'of one kind')}), so two systems would "
            "be compared on different queries"
        ]
    return []


def _blind(measured: Measured) -> list[str]:
    """Return the root cause where the value has nothing to do with the labels."""
    everything = np.concatenate([measured.values[b] for b in WITHOUT_TIES])
    if not everything.any():
        return ["it returns 0 for every ranking, the perfect one included: it never sees a label that counts"]
    if np.ptp(everything) < EXACT:
        return [
            f"it returns {everything[0]:.4f} for every ranking, a random one included: sorting by the score "
            "always satisfies it, whatever the labels are (the system's own score as the gain does this)"
        ]
    if measured.gap("oracle", "other labels") < EXACT:
        return ["its value does not depend on the labels: other labels, the same number"]
    return []


def out_of_range(measured: Measured, low: float = 0.0, high: float = 1.0) -> list[str]:
    """Return a failure where values leave the range of the metric."""
    values = np.concatenate([v[np.isfinite(v)] for v in measured.values.values()] or [np.zeros(1)])
    if values.min() >= low - SAME and values.max() <= high + SAME:
        return []
    percent = "; is it in per cent?" if 50 < values.max() <= 100 + SAME and values.min() >= 0 else ""
    return [
        f"its values go from {values.min():.4f} to {values.max():.4f}, outside {low:g}..{high:g}{percent}"
    ]


def _order_failures(measured: Measured, known: Known | None) -> list[str]:
    perfect, random, reverse = (measured.mean(b) for b in ("oracle", "random", "reverse"))
    if known and known.wrong:
        return [f"it is {known.name}, but {known.wrong}"]
    if reverse >= random and not known:
        return [
            f"the worst ranking scores {reverse:.4f}, a random one {random:.4f}, the perfect one {perfect:.4f}: "
            "a better ranking must score more"
        ]
    # A recognised metric agrees on every ranking, so its perfect and random values are what they must be.
    if known:
        return []
    failures = []
    if np.abs(measured.values["oracle"] - 1).max() > SAME:
        failures.append(f"the perfect ranking scores {perfect:.4f} instead of 1")
    if random >= 0.9 * perfect:
        failures.append(f"a random ranking scores {random:.4f}, hardly less than the perfect one")
    if measured.mean("lost") >= 0.95 * perfect:
        failures.append("a ranking that loses all relevant items but one scores like the perfect one")
    return failures


def drawn(measured: Measured) -> list[str]:
    """Return a failure where the same input gives another value."""
    if measured.gap("good", "again") <= EXACT:
        return []
    return ["it gives different values for the same input: something in it is drawn at random"]


def unchanged(measured: Measured, in_order: bool) -> list[str]:
    """Return a failure for every change that must change nothing, and does."""
    failures, before = drawn(measured), measured.mean("good")
    if not in_order and measured.gap("good", "rows") > SAME:
        failures.append("shuffling the rows of a query changes its value, although no scores tie")
    for batch, change in (("shift", "adding 0.1 to"), ("negative", "subtracting 5 from")):
        if measured.gap("good", batch) > SAME:
            after = measured.mean(batch)
            failures.append(f"{change} every score changes its value from {before:.4f} to {after:.4f}")
            break  # a second shift says nothing new
    if measured.gap("good", "transform") > SAME:
        failures.append("a transform of the scores that keeps their order changes its value")
    return failures


def _chance_failures(measured: Measured, batches: Batches, known: Known | None) -> list[str]:
    failures = []
    shuffled, random = measured.mean("other labels"), measured.mean("random")
    if shuffled > random + measured.error("other labels", "random"):
        failures.append(
            f"with the labels shuffled it still scores {shuffled:.4f}, where a random ranking scores {random:.4f}"
        )
    if known and known.name == "nDCG@10" and "2^label" in known.gain and "linear" not in known.gain:
        expected = _expected(batches)
        if abs(random - expected) > measured.error("random", "random"):
            failures.append(f"a random ranking scores {random:.4f}, where chance gives {expected:.4f}")
    return failures


def _ties(measured: Measured, documented: bool) -> Findings:
    if set(ODD[:4]) & set(measured.errors):
        raised = next(measured.errors[b] for b in ODD[:4] if b in measured.errors)
        return Findings([f"it stops where scores are equal: {raised}"])
    by_rows = max(measured.gap("tied", "tied rows"), measured.gap("coarse", "coarse rows")) > SAME
    chance, margin = measured.mean("random"), measured.error("random", "random")
    return tie_findings(by_rows, documented, measured.mean("tied"), chance, margin)


def tie_findings(by_rows: bool, documented: bool, value: float, chance: float, margin: float) -> Findings:
    """Return what is to be said of equal scores, `value` being that of rows sorted by label."""
    told = f"with equal scores and the best rows first it gives {value:.4f}, where chance gives {chance:.4f}"
    if by_rows and documented:
        limit = f"equal scores follow the order of the rows: {told}; shuffle the rows first"
        return Findings([], limits=[limit])
    if by_rows:
        return Findings([f"ties are broken by the order of the rows: {told}"])
    if value > chance + margin:
        return Findings([f"ties are broken in favour of the better label: {told}"])
    return Findings([], [f"ties count against the ranking: {told}"] if value < chance - margin else [])


def _empty(measured: Measured) -> list[str]:
    values = measured.values["empty"][np.isfinite(measured.values["empty"])]
    if not values.size or values.max() <= SAME:
        return []
    return [f"a query without a relevant item counts {values.max():.4f}; it must be left out or count 0"]


def _is_binary(batches: Batches) -> bool:
    return max(int(c.labels.max()) for c in batches["good"]) == 1


def _expected(batches: Batches) -> float:
    return float(np.mean([random_ndcg_at_k(c.labels) for c in batches["random"]]))


def _facts(measured: Measured, batches: Batches, known: Known | None) -> dict[str, float | int | str]:
    facts: dict[str, float | int | str] = {b: round(measured.mean(b), 6) for b in WITHOUT_TIES}
    facts |= {"queries": QUERIES, "random_ndcg_at_10": round(_expected(batches), 6)}
    if known:
        facts["metric"] = known.name
        facts |= {"gain": known.gain} if known.gain else {}
    if known and known.name.startswith("nDCG@10") and not known.wrong:
        cases = [c for b in WITHOUT_TIES for c in batches[b]]
        ours = ndcg_per_query([c.scores for c in cases], [c.labels for c in cases])
        theirs = np.concatenate([measured.values[b] for b in WITHOUT_TIES])
        facts["largest_difference_from_ours"] = float(np.abs(ours - theirs).max())
    return facts
