"""One function per metric: evidence in, Finding out. The default is NOT_MEASURED, with the reason."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.dataset import FeatureQuery, Query
from nightshift.states import CriterionState, Metric
from schedules.plan import Criterion
from verdict.controls import head_room
from verdict.finding import Finding
from verdict.statistics import (
    N_MIN,
    SPREAD,
    Interval,
    excludes_zero,
    minimum_detectable_effect,
    queries_needed,
    sign_flip_p,
    t_interval,
)
from verdict.timing import Latency

Floats = NDArray[np.float64]
MET, MISSED = CriterionState.MET, CriterionState.MISSED
NOT_MEASURED, INVALID = CriterionState.NOT_MEASURED, CriterionState.INVALID
COVERAGE_MIN = 0.95


def finding(
    criterion: Criterion,
    state: CriterionState,
    reason: str,
    interval: Interval | None = None,
    *,
    value: float | None = None,
    low: float | None = None,
    high: float | None = None,
    n: int | None = None,
) -> Finding:
    """Return a finding for this criterion; `interval` gives value, range and n."""
    if interval is not None:
        value, low, high, n = interval.mean, interval.low, interval.high, interval.n
    return Finding(
        name=criterion.metric,
        required=criterion.required,
        asked=criterion.asked,
        state=state,
        reason=reason,
        value=value,
        low=low,
        high=high,
        n=n,
    )


def not_measured(criterion: Criterion, reason: str) -> Finding:
    """Return the default finding."""
    return finding(criterion, NOT_MEASURED, reason)


def judge_gain(criterion: Criterion, differences: Floats, seed: int, what: str = "nDCG@10") -> Finding:
    """Return the finding on a mean paired gain: point >= asked, t lower bound > 0, sign-flip p < .05.

    A gain that only holds where no rare large loss is hidden, or no skew, is NOT_MEASURED.
    """
    if differences.size < N_MIN:
        return finding(
            criterion, NOT_MEASURED, f"{differences.size} queries are too few; {N_MIN} are the least"
        )
    interval = t_interval(differences)
    asked = criterion.above or 0.0
    shown = f"gain in {what} {interval.mean:+.4f}, 95 % [{interval.low:+.4f}, {interval.high:+.4f}]"
    if interval.mean < asked:
        return finding(criterion, MISSED, f"{shown}; asked was more than {asked:+g}", interval)
    if interval.low > 0 and not excludes_zero(differences):
        return finding(criterion, NOT_MEASURED, f"{shown}: {_too_few(differences, interval)}", interval)
    if interval.low <= 0 or sign_flip_p(differences, seed) >= 0.05:
        effect = minimum_detectable_effect(max(interval.sd, SPREAD), interval.n)
        return finding(
            criterion,
            MISSED,
            f"{shown}: not told from no gain; {interval.n} queries show {effect:.3f} at least",
            interval,
        )
    one_sided = t_interval(differences, 0.90).low
    proven = f"; proven above {asked:g}" if one_sided > asked else f"; above {asked:g} is likely, not proven"
    return finding(criterion, MET, shown + proven, interval)


def _too_few(differences: Floats, interval: Interval) -> str:
    losses = f"losses with a skew of {interval.skew:.1f}" if interval.skew < -1 else "rare large losses"
    return (
        f"{interval.n} queries are too few to rule out {losses}; about {queries_needed(differences)} would do"
    )


def judge_saturation(criterion: Criterion, v1_ndcg: float, n: int, no_image: bool) -> Finding | None:
    """Return INVALID where V1.0 leaves less room above it than the night hopes to gain, else None."""
    room, hoped = head_room(v1_ndcg), criterion.target or criterion.above or 0.0
    if room >= hoped:
        return None
    image = "; no image: no item has a picture" if no_image else ""
    return finding(
        criterion,
        INVALID,
        f"saturated: V1.0 already scores {v1_ndcg:.4f}, so a gain of {hoped:g} cannot be measured{image}",
        n=n,
    )


def top_compliance(scores: Floats, query: Query) -> float | None:
    """Return the expected compliance of the top item over ties, or None where it is not labelled."""
    labels = [candidate.complies for candidate in query.candidates]
    if any(label is None for label in labels):
        return None
    tied = np.flatnonzero(scores == scores.max())
    return float(np.mean([bool(labels[i]) for i in tied]))


def judge_compliance(
    criterion: Criterion,
    queries: Sequence[Query] | Sequence[FeatureQuery],
    new: list[Floats],
    v1: list[Floats],
) -> Finding:
    """Return whether Compliance@1 is kept: paired non-inferiority against V1.0."""
    margin = criterion.kept_within
    differences = []
    for query, after, before in zip(queries, new, v1, strict=True):
        if isinstance(query, Query):
            pair = top_compliance(after, query), top_compliance(before, query)
            if pair[0] is not None and pair[1] is not None:
                differences.append(pair[0] - pair[1])
    if len(differences) < N_MIN:
        return not_measured(criterion, "the data has no labels of hard constraints (`complies`)")
    interval = t_interval(np.array(differences))
    # One more query, lost: without it a sample that shows no difference would prove that there is none.
    bound = t_interval(np.array([*differences, -1.0]), 0.90)
    lost = t_interval(np.array(differences), 0.90)
    shown = f"change in Compliance@1 {interval.mean:+.3f}"
    if margin is None:
        return judge_gain(criterion, np.array(differences), seed=0, what="Compliance@1")
    if bound.low > -margin:
        return finding(criterion, MET, f"{shown}: kept within {margin:g} of V1.0", interval)
    if lost.high < 0:
        return finding(criterion, MISSED, f"{shown}: lost against V1.0", interval)
    return finding(criterion, NOT_MEASURED, f"{shown}: not shown within {margin:g} of V1.0", interval)


def judge_latency(criterion: Criterion, latency: Latency) -> Finding:
    """Return whether the upper bound of P95 is below what is asked."""
    asked = criterion.below or 0.0
    state = MET if latency.p95_upper_ms < asked else MISSED
    return finding(
        criterion,
        state,
        f"P95 {latency.p95_ms:.2f} ms over {latency.calls:,} distinct requests ({latency.path})",
        value=latency.p95_upper_ms,
        low=latency.p50_ms,
        high=latency.p99_ms,
        n=latency.calls,
    )


def judge_loss(criterion: Criterion, loss: float, accuracies: Floats, beyond_margin: float) -> Finding:
    """Return whether the recomputed loss is below what is asked, believed only with held-out pair accuracy.

    A constant scorer has exactly the margin as its loss; so the lower bound of the accuracy on pairs
    the model never saw must exceed one half.
    """
    asked = criterion.below or 0.0
    if accuracies.size < N_MIN:
        return not_measured(criterion, f"{accuracies.size} held-out queries are too few to believe a loss")
    accuracy = t_interval(accuracies)
    facts = (
        f"loss {loss:.4f} (a constant scorer has 0.1000), {beyond_margin:.0%} of pairs beyond the margin, "
        f"held-out pair accuracy {accuracy.mean:.3f} [{accuracy.low:.3f}, {accuracy.high:.3f}]"
    )
    if loss >= asked:
        return finding(criterion, MISSED, facts, value=loss, n=accuracy.n)
    if accuracy.low <= 0.5:
        return finding(criterion, INVALID, f"{facts}: memory, not learning", value=loss, n=accuracy.n)
    return finding(criterion, MET, facts, value=loss, n=accuracy.n)


def judge_share(criterion: Criterion, values: Floats, what: str) -> Finding:
    """Return whether the mean of per-query shares is above what is asked, with its interval."""
    if values.size < N_MIN:
        return not_measured(criterion, f"{values.size} queries are too few; {N_MIN} are the least")
    interval = t_interval(values)
    asked = criterion.above or 0.0
    state = MET if interval.mean >= asked else MISSED
    return finding(criterion, state, f"{what} {interval.mean:.4f}", interval)


def metrics_judged(findings: Sequence[Finding]) -> set[Metric]:
    """Return the metrics that already have a finding."""
    return {item.name for item in findings}
