"""A results table, audited: what it claims, whether it can be believed, and how sure the gain is.

A value is believed only where it was recomputed from raw scores and labels; a table of values alone
can be shown to be wrong, never to be right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from verdict.answer import BELIEVED, CANNOT_TELL, NOT_BELIEVED, Answer
from verdict.results_read import Floats, Results, ResultsError
from verdict.results_shape import read_results
from verdict.results_suspect import invented, labels_differ, looks_drawn
from verdict.results_values import SAME, Column, columns_of
from verdict.statistics import N_MIN, Interval, excludes_zero, queries_needed, sign_flip_p, t_interval

BASELINES = (
    "baseline",
    "base",
    "v1",
    "v1_0",
    "v0",
    "old",
    "reference",
    "control",
    "before",
    "bm25",
    "production",
)
NAMES = {"ndcg": "nDCG", "value": "the value", "metric": "the metric", "compliance": "Compliance"}
RAW = "Keep each candidate's raw score and label beside the values (10 min), then ask again (1 min)."
RERUN = "Find out where these values come from (10 min), then evaluate again from raw scores (5 min)."


def audit_results(path: Path, seed: int = 0) -> list[Answer]:
    """Return what can be believed of a results table, the gravest first; nothing is raised.

    `seed` is that of the sign-flip test.
    """
    try:
        results = read_results(path)
    except ResultsError as error:
        return [Answer(path.name, CANNOT_TELL, f"{error}.", advice="Mend the table (5 min) and ask again.")]
    wrong = _table_answers(path.name, results)
    answers = wrong + _one_column(path.name, results)
    columns = columns_of(results)
    for metric in dict.fromkeys(column.metric for column in columns):
        found = _metric_answers(path.name, [c for c in columns if c.metric == metric], results, seed)
        answers += [_held_back(answer, wrong) for answer in found]
    gravity = (NOT_BELIEVED, CANNOT_TELL, BELIEVED)
    return sorted(answers, key=lambda answer: gravity.index(answer.belief))


def _table_answers(name: str, results: Results) -> list[Answer]:
    """Return what is wrong with the rows themselves."""
    wrong = []
    if results.twice:
        wrong.append(f"{results.twice} of {results.rows} rows stand there twice, so n is counted too high")
    if results.conflicts:
        wrong.append(f"rows that contradict another one for the same query and system: {results.conflicts}")
    if results.splits and all(split.lower().startswith("train") for split in results.splits):
        wrong.append("all of it was measured on the training split")
    facts: dict[str, float | int | str] = {"rows": results.rows, "twice": results.twice}
    return [Answer(name, NOT_BELIEVED, f"{_upper(reason)}.", facts, RERUN) for reason in wrong]


def _held_back(answer: Answer, wrong: Sequence[Answer]) -> Answer:
    """Return the answer, not believed before the rows that it rests on are mended."""
    if not wrong or answer.belief != BELIEVED:
        return answer
    sentence = f"The table must be mended first; as it stands: {answer.sentence}"
    return replace(answer, belief=CANNOT_TELL, sentence=sentence, advice=RERUN)


def _upper(text: str) -> str:
    return text if text.startswith("nDCG") else text[:1].upper() + text[1:]


def _one_column(name: str, results: Results) -> list[Answer]:
    """Return the answer to a table that states nothing but differences."""
    values = np.array(list(results.differences.values()))
    if results.stated or results.ranked or not values.size:
        return []
    facts: dict[str, float | int | str] = {"n": int(values.size), "gain": float(np.nanmean(values))}
    if np.isfinite(values).all() and np.ptp(values) < SAME:
        return [Answer(name, NOT_BELIEVED, f"Every query gains exactly {values[0]:+.4f}.", facts, RERUN)]
    sentence = "Only differences are stated; each system's values, raw scores and labels are needed."
    return [Answer(name, CANNOT_TELL, sentence, facts, RAW)]


def _metric_answers(name: str, columns: Sequence[Column], results: Results, seed: int) -> list[Answer]:
    """Return one answer per comparison with the baseline, or one on the only system there is."""
    shown = _shown(columns[0].metric)
    if len(columns) == 1:
        return [_alone(name, columns[0], shown)]
    base = _baseline(columns)
    return [_pair(name, base, new, results, seed) for new in columns if new is not base]


def _shown(metric: str) -> str:
    word, at, cutoff = metric.partition("@")
    return NAMES.get(word, word) + at + cutoff


def _alone(name: str, column: Column, shown: str) -> Answer:
    values = column.numbers
    facts: dict[str, float | int | str] = {"n": int(values.size), **column.facts}
    if values.size:
        facts["mean"] = float(values.mean())
    subject = f"{name}: {shown} of {column.system}"
    if column.belief == BELIEVED and values.size:
        sentence = (
            f"{shown} is {values.mean():.4f} over {values.size} queries, {column.reason}; no gain is claimed."
        )
        return Answer(subject, BELIEVED, sentence, facts)
    advice = RAW if column.belief == CANNOT_TELL else RERUN
    return Answer(subject, column.belief, f"{_upper(column.reason)}.", facts, advice)


def _baseline(columns: Sequence[Column]) -> Column:
    for word in BASELINES:
        for column in columns:
            if word in (column.system.lower(), *column.system.lower().replace("-", "_").split("_")):
                return column
    return columns[0]


def _pair(name: str, base: Column, new: Column, results: Results, seed: int) -> Answer:
    """Return the answer on the gain of one system over the baseline."""
    subject = f"{name}: gain in {_shown(base.metric)}, {new.system} over {base.system}"
    queries = [q for q in base.values if np.isfinite([base.values[q], new.values.get(q, np.nan)]).all()]
    before, after = (np.array([c.values[q] for q in queries], dtype=np.float64) for c in (base, new))
    wrong = _wrong(base, new, results) or (queries and invented(before, after, bool(results.ranked)))
    if len(queries) < 2:
        facts: dict[str, float | int | str] = {"n": len(queries)}
        belief = NOT_BELIEVED if wrong else CANNOT_TELL
        return Answer(subject, belief, f"{_upper(wrong or base.reason)}.", facts, RERUN)
    interval, p = t_interval(after - before), sign_flip_p(after - before, seed)
    facts = _facts(before, after, interval, p, results, len(base.values) - len(queries))
    told = f"{interval.mean:+.4f}, 95 % [{interval.low:+.4f}, {interval.high:+.4f}] over {interval.n} queries"
    if wrong:
        return Answer(subject, NOT_BELIEVED, f"{_upper(wrong)} (stated: {told}).", facts, RERUN)
    if interval.n < N_MIN:
        few = f"{interval.n} queries are too few; {N_MIN} are the least ({told})."
        return Answer(subject, CANNOT_TELL, few, facts, f"Label {N_MIN - interval.n} more queries (1 h).")
    # Values alone can be shown to be wrong, never to be right.
    if CANNOT_TELL in (base.belief, new.belief):
        drawn = looks_drawn(before, after)
        return Answer(subject, CANNOT_TELL, f"{_upper(base.reason)} (stated: {told}{drawn}).", facts, RAW)
    return _measured(subject, after - before, interval, p, told, facts, results)


def _measured(
    subject: str,
    differences: Floats,
    interval: Interval,
    p: float,
    told: str,
    facts: Mapping[str, float | int | str],
    results: Results,
) -> Answer:
    """Return the answer on a gain that was recomputed from raw scores."""
    advice = (
        "" if results.seeds > 1 else "The table names no second seed: repeat with two more (two trainings)."
    )
    if interval.low <= 0 or p >= 0.05:
        lost = interval.high < 0 and p < 0.05
        words = "It is a loss" if lost else "No gain is shown"
        return Answer(subject, BELIEVED, f"{words}: {told} (p = {p:.4f}).", dict(facts), advice)
    if not excludes_zero(differences):
        needed = queries_needed(differences)
        reason = f"{interval.n} queries are too few to rule out rare large losses, about {needed} would do: {told}."
        return Answer(subject, CANNOT_TELL, reason, dict(facts), f"Label {needed - interval.n} more queries.")
    return Answer(
        subject, BELIEVED, f"A gain, recomputed from raw scores: {told} (p = {p:.4f}).", dict(facts), advice
    )


def _facts(
    before: Floats, after: Floats, interval: Interval, p: float, results: Results, left_out: int
) -> dict[str, float | int | str]:
    return {
        "n": interval.n,
        "baseline": float(before.mean()),
        "new": float(after.mean()),
        "gain": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "p": p,
        "skew": interval.skew,
        "left_out": left_out,
        "seeds": results.seeds or "not stated",
        "splits": ", ".join(results.splits) or "not stated",
    }


def _wrong(base: Column, new: Column, results: Results) -> str:
    """Return why the two cannot be compared."""
    for column in (base, new):
        if column.belief == NOT_BELIEVED:
            return f"{_shown(column.metric)} of {column.system} cannot be believed: {column.reason}"
    only = [q for q in base.values if q not in new.values], [q for q in new.values if q not in base.values]
    if only[0] or only[1]:
        return (
            f"different queries: {len(only[0])} only for {base.system}, {len(only[1])} only for {new.system}"
        )
    one_side = [q for q in base.values if np.isfinite(base.values[q]) != np.isfinite(new.values[q])]
    if one_side:
        return f"{len(one_side)} queries are left out for one system and counted for the other"
    return _other_pools(base.system, new.system, results) or labels_differ(results.ranked)


def _other_pools(first: str, second: str, results: Results) -> str:
    a, b = results.ranked.get(first, {}), results.ranked.get(second, {})
    other = [q for q in a if q in b and set(a[q].ids) != set(b[q].ids)]
    sizes = results.pools.get(first, {}), results.pools.get(second, {})
    other = other or [q for q in sizes[0] if sizes[1].get(q, sizes[0][q]) != sizes[0][q]]
    return f"{len(other)} queries had another pool of candidates for each system" if other else ""
