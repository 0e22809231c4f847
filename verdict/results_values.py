"""The values of one system: recomputed from raw scores where those stand in the table, and looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from models.metrics import has_ranking, ndcg_per_query
from verdict.answer import BELIEVED, CANNOT_TELL, NOT_BELIEVED
from verdict.controls import constant_share, metric_failures
from verdict.metric_form import Case
from verdict.metric_known import recognise
from verdict.results_read import Floats, Ranked, Results

SAME = 1e-6
DECIMALS = range(3, 7)
"""So many decimals a rounded table may have and still be compared."""
K, OWN = 10, 0.999


@dataclass(frozen=True)
class Column:
    """One system's values of one metric, query by query."""

    metric: str
    system: str
    values: Mapping[str, float]
    """Recomputed where that could be done, else as stated; NaN where a query has none."""
    belief: str = CANNOT_TELL
    reason: str = "the values cannot be recomputed: each candidate's raw score and label are needed"
    facts: Mapping[str, float | int | str] = field(default_factory=dict)

    @property
    def numbers(self) -> Floats:
        """Return the values that there are."""
        given = np.array(list(self.values.values()), dtype=np.float64)
        return given[np.isfinite(given)]


def rounding(values: Sequence[float] | Floats) -> float:
    """Return how far a stated value may lie from the true one, by the decimals that the table keeps."""
    given = np.asarray(values, dtype=np.float64)
    given = given[np.isfinite(given)]
    # Two decimals would let invented values pass for rounded ones; 0 and 1 alone say nothing of rounding.
    for decimals in DECIMALS:
        if np.abs(given - np.round(given, decimals)).max(initial=0.0) < 1e-12:
            return float(0.51 * 10.0**-decimals) if np.unique(given).size > 2 else SAME
    return SAME


def columns_of(results: Results) -> list[Column]:
    """Return every system's values of every metric, stated or made of raw scores."""
    found = []
    for metric, systems in results.stated.items():
        for system, values in systems.items():
            raw = results.ranked.get(system) or (
                next(iter(results.ranked.values()), {}) if len(systems) == len(results.ranked) == 1 else {}
            )
            found.append(_judged(Column(metric, system, values), raw))
    told = {(c.metric.split("@")[0], c.system) for c in found}
    for system, raw in results.ranked.items():
        if all(np.isnan(r.scores).all() for r in raw.values()):
            continue
        if ("ndcg", system) not in told and any(np.isfinite(r.labels).any() for r in raw.values()):
            found.append(_judged(Column("ndcg@10", system, {}), raw))
        if any(np.isfinite(r.complies).any() for r in raw.values()) and ("compliance", system) not in told:
            found.append(_judged(Column("compliance@1", system, {}), raw))
    return found


def _judged(column: Column, raw: Mapping[str, Ranked]) -> Column:
    """Return the column with its belief."""
    wrong = _looks_wrong(column)
    if not wrong and raw:
        labels = column.metric.startswith("compliance")
        wrong = _unfit(raw, labels)
        if not wrong:
            return _recomputed_compliance(column, raw) if labels else _recomputed(column, raw)
    return replace(column, belief=NOT_BELIEVED, reason=wrong) if wrong else column


def _looks_wrong(column: Column) -> str:
    """Return what is wrong with stated values by themselves."""
    values = column.numbers
    if not column.values:
        return ""
    if not values.size or np.isinf(list(column.values.values())).any():
        return "its values are not finite numbers"
    if values.min() < -SAME or values.max() > 1 + SAME:
        return f"its values go from {values.min():.4f} to {values.max():.4f}, outside 0..1"
    if not values.any() and not column.metric.startswith("compliance"):
        return "every value is 0: labels are missing, this is no failed model"
    between = (values > SAME) & (values < 1 - SAME)
    if column.metric.startswith("compliance") and between.mean() > 0.5:
        return (
            f"{int(between.sum())} of {values.size} queries have a compliance between 0 and 1, yet one top item "
            "complies or does not: it looks made of scores, not of labels"
        )
    return ""


def _unfit(raw: Mapping[str, Ranked], compliance: bool) -> str:
    """Return why raw scores and labels cannot be used, where they cannot."""
    labels = np.concatenate([r.complies if compliance else r.labels for r in raw.values()])
    scores = np.concatenate([r.scores for r in raw.values()])
    if np.isnan(labels).all():
        return ""
    if np.isnan(labels).any():
        return f"{int(np.isnan(labels).sum())} of {labels.size} candidates have no label"
    if np.isnan(scores).any() and not np.isnan(scores).all():
        return "some candidates have no score"
    if not compliance and not labels.any():
        return "every label is 0: labels are missing, this is no failed model"
    if np.isinf(scores).any():
        return "some scores are not finite"
    whole = compliance or not np.abs(labels - np.round(labels)).max() > 0
    own = not whole and np.isfinite(scores).all() and abs(float(np.corrcoef(labels, scores)[0, 1])) > OWN
    return "its labels are the system's own scores, so any order by score is perfect" if own else ""


def _recomputed(column: Column, raw: Mapping[str, Ranked]) -> Column:
    """Return the column made anew from scores and labels, believed where what is stated agrees."""
    queries = list(raw)
    if np.isnan(np.concatenate([r.labels for r in raw.values()])).all():
        return column
    if any(np.abs(r.labels - np.round(r.labels)).max() > 0 for r in raw.values()):
        return replace(column, reason="its labels are not whole numbers, so nothing is recomputed from them")
    labels = [raw[q].labels.astype(np.int64) for q in queries]
    if np.isnan(raw[queries[0]].scores).all():
        return _reachable(column, dict(zip(queries, labels, strict=True)))
    scores = [raw[q].scores for q in queries]
    failures = metric_failures(scores, labels, seed=0)
    if constant_share(scores) == 1:
        failures = ["all candidates of a query have the same score, so its order is chance"]
    if failures:
        return replace(column, belief=NOT_BELIEVED, reason=failures[0])
    cutoff = column.metric.partition("@")[2]
    ours = dict(zip(queries, ndcg_per_query(scores, labels, int(cutoff or K)).tolist(), strict=True))
    made = replace(column, values=ours, belief=BELIEVED, reason="recomputed from raw scores and labels")
    return _agreeing(column, made, raw) if column.values else made


def _agreeing(stated: Column, made: Column, raw: Mapping[str, Ranked]) -> Column:
    """Return the remade column where the stated values are the same, else say how they differ."""
    given = {q: v for q, v in stated.values.items() if np.isfinite(v)}
    counted = [q for q in given if np.isnan(made.values.get(q, np.nan)) and given[q] > SAME]
    if counted:
        reason = f"a query without a relevant item, or without scores, is stated as {given[counted[0]]:.4f}"
        return replace(stated, belief=NOT_BELIEVED, reason=reason)
    both = [q for q in given if np.isfinite(made.values.get(q, np.nan))]
    apart = {q: abs(given[q] - made.values[q]) for q in both}
    worst = max(apart, key=lambda q: apart[q], default="")
    facts = {"largest_difference_from_recomputed": apart.get(worst, 0.0)}
    left_out = sum(np.isfinite(v) for v in made.values.values()) - len(both)
    if left_out:
        reason = f"{left_out} queries that have relevant items have no stated value"
        return replace(stated, belief=NOT_BELIEVED, reason=reason, facts=facts)
    if apart.get(worst, 0.0) <= rounding(list(given.values())):
        return replace(made, facts=facts)
    return _otherwise(
        stated, raw, both, f"query {worst} is stated as {given[worst]:.4f}", made.values[worst], facts
    )


def _otherwise(
    stated: Column,
    raw: Mapping[str, Ranked],
    queries: Sequence[str],
    told: str,
    ours: float,
    facts: Mapping[str, float | int | str],
) -> Column:
    """Return the column as another usual metric, where it is one and does not claim to be nDCG."""
    # Shorter pools are filled up with irrelevant items at the end, which changes no metric but precision.
    longest = max(raw[q].labels.size for q in queries)
    cases = [_padded(raw[q], longest) for q in queries if np.unique(raw[q].scores).size == raw[q].scores.size]
    clear = [q for q in queries if np.unique(raw[q].scores).size == raw[q].scores.size]
    known = recognise(cases, np.array([stated.values[q] for q in clear])) if len(clear) >= 5 else None
    if known and not known.wrong and ("ndcg" not in stated.metric or known.name.startswith("nDCG")):
        words = f"recomputed from raw scores and labels as {known.name}" + (
            f", {known.gain}" if known.gain else ""
        )
        return replace(stated, belief=BELIEVED, reason=words, facts={**facts, "metric": known.name})
    more = f"; it is {known.name}, but {known.wrong}" if known and known.wrong else ""
    reason = f"{told}, its raw scores and labels give {ours:.4f}{more}"
    return replace(stated, belief=NOT_BELIEVED, reason=reason, facts=facts)


def _padded(ranked: Ranked, size: int) -> Case:
    missing = size - ranked.scores.size
    low = ranked.scores.min() - 1 - np.arange(missing)
    labels = np.r_[ranked.labels, np.zeros(missing)].astype(np.int64)
    return Case(np.r_[ranked.scores, low], labels)


def _recomputed_compliance(column: Column, raw: Mapping[str, Ranked]) -> Column:
    if any(np.isnan(r.complies).any() or np.isnan(r.scores).any() for r in raw.values()):
        return column
    ours = {q: float(r.complies[r.scores == r.scores.max()].mean()) for q, r in raw.items()}
    made = replace(column, values=ours, belief=BELIEVED, reason="recomputed from raw scores and labels")
    return _agreeing(column, made, raw) if column.values else made


def _reachable(column: Column, labels: Mapping[str, np.ndarray]) -> Column:
    """Return the column, not believed where a stated value is one that no order of its labels can give."""
    near = rounding(list(column.values.values()))
    for query, value in column.values.items():
        possible = possible_ndcg(labels.get(query, np.zeros(0)), int(column.metric.partition("@")[2] or K))
        if possible.size and np.isfinite(value) and np.abs(possible - value).min() > near:
            reason = f"query {query} is stated as {value:.4f}, which no order of its candidates gives"
            return replace(column, belief=NOT_BELIEVED, reason=reason)
    return column


def possible_ndcg(labels: np.ndarray, k: int = K) -> Floats:
    """Return every value that nDCG@k can take with these labels; empty where they are too many to list.

    Only labels of 0 and one grade above are listed: 1,024 values at k = 10.
    """
    grades = np.unique(labels)
    if not has_ranking(labels) or grades.size != 2 or grades[0] != 0 or k > K:
        return np.zeros(0)
    first = min(k, labels.size)
    discounts = 1 / np.log2(np.arange(2, first + 2))
    shown = (np.arange(2**first)[:, None] >> np.arange(first)) & 1
    relevant, others = int((labels > 0).sum()), int((labels == 0).sum())
    count = shown.sum(axis=1)
    fits = (count <= relevant) & (first - count <= others)
    return np.asarray(shown[fits] @ discounts / discounts[: min(first, relevant)].sum())
