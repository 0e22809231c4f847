"""The rows of a results table, put in order: values per metric, system and query, and raw scores."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from verdict.results_read import (
    DIFFERENCES,
    UNNAMED,
    Ranked,
    Results,
    ResultsError,
    Row,
    columns,
    expanded,
    folded,
    number,
    numeric_columns,
    read_rows,
    words_of,
)

TEXT_METRIC = ("metric", "measure", "metric_name")
ONE = "the system"
"""What a system is called where the table names none."""


@dataclass
class _Gathered:
    """Cells on their way into `Results`."""

    values: dict[tuple[str, str, str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    """(metric, system, query, seed) -> every value stated."""
    items: dict[tuple[str, str], dict[str, tuple[float, float, float]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    """(system, query) -> candidate -> score, label, complies."""
    conflicts: int = 0


def read_results(path: Path) -> Results:
    """Return a table in order.

    Raises ResultsError where it cannot be read, or its columns do not say what they hold.
    """
    rows = read_rows(path)
    roles = columns(list(rows[0]))
    if "query" not in roles:
        raise ResultsError(
            f"{path.name} has no column that names the query (its columns: {', '.join(rows[0])}); call it query_id"
        )
    rows = expanded(rows, roles)
    roles = columns(list(rows[0]))
    # Exact copies are dropped here and counted: kept, they would make every interval too short.
    kept = list({tuple(str(cell) for cell in row.values()): row for row in rows}.values())
    results = Results(rows=len(rows), twice=len(rows) - len(kept))
    results.seeds = len({str(row.get(roles.get("seed", ""))) for row in kept}) if "seed" in roles else 0
    results.splits = tuple(sorted({str(row.get(roles["split"])) for row in kept})) if "split" in roles else ()
    gathered = _Gathered()
    if _per_candidate(kept, roles):
        _candidates(kept, roles | {"candidate": roles.get("candidate", "")}, gathered, results.seeds > 1)
    else:
        _queries(kept, roles, gathered)
        results.pools = _pools(kept, roles)
        results.differences = _differences(kept, roles)
    _put(gathered, results)
    if not (results.stated or results.ranked or results.differences):
        raise ResultsError(
            f"{path.name} has no values (its columns: {', '.join(rows[0])}); name one ndcg_at_10, or give each "
            "candidate's score and relevance"
        )
    return results


def _per_candidate(rows: Sequence[Row], roles: Mapping[str, str]) -> bool:
    """Return whether rows are candidates: several of a query, of one system and seed."""
    # An `id` may be nothing but a row number: only several rows per query make it a candidate's.
    if not {"candidate", "label", "complies"} & set(roles):
        return False
    by = [roles[role] for role in ("query", "system", "seed") if role in roles] + [_metric_column(rows)]
    counts: dict[tuple[str, ...], int] = defaultdict(int)
    for row in rows:
        counts[tuple(str(row.get(name)) for name in by)] += 1
    return sum(counts.values()) > 1.5 * len(counts)


def _value_columns(rows: Sequence[Row], roles: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return column -> (metric, system) of the columns that state values; the system may be empty."""
    fixed = [roles[role] for role in roles if role not in ("score",)]
    numeric = numeric_columns(rows, fixed)
    told = {name: words_of(name) for name in numeric}
    measured = {name: words for name, words in told.items() if words[0]}
    if measured:
        return measured
    if "system" in roles:
        return dict.fromkeys(numeric[:1], ("value", ""))
    return {name: ("value", name) for name in numeric}


def _metric_column(rows: Sequence[Row]) -> str:
    """Return the column whose cells name the metric, or an empty text."""
    found = (n for n in TEXT_METRIC if n in rows[0] and not np.isfinite(number(rows[0][n])))
    return next(found, "")


def _queries(rows: Sequence[Row], roles: Mapping[str, str], gathered: _Gathered) -> None:
    named = _metric_column(rows)
    for name, (metric, system) in _value_columns(rows, roles).items():
        for row in rows:
            whose = str(row.get(roles["system"])) if "system" in roles else system or ONE
            seed = str(row.get(roles["seed"])) if "seed" in roles else ""
            told = str(row.get(named)) if named else metric
            metric = words_of(folded(told))[0] or told
            gathered.values[metric, whose, str(row.get(roles["query"])), seed].append(number(row.get(name)))


def _score_columns(rows: Sequence[Row], roles: Mapping[str, str]) -> dict[str, str]:
    """Return column -> system of the columns of raw scores; the system is empty where a column names it."""
    if "system" in roles:
        return {roles[role]: "" for role in ("score", "rank") if role in roles} or {
            name: "" for name in numeric_columns(rows, list(roles.values())) if not words_of(name)[0]
        }
    fixed = [roles[role] for role in roles if role not in ("score", "rank")]
    numeric = [name for name in numeric_columns(rows, fixed) if not words_of(name)[0]]
    named = [n for n in numeric if {"score", "scores", "pred"} & set(n.split("_"))] or numeric
    return {name: words_of(name)[1] or ONE for name in named}


def _candidates(rows: Sequence[Row], roles: Mapping[str, str], gathered: _Gathered, seeds: bool) -> None:
    scores = _score_columns(rows, roles) or {"": ONE}
    for row in rows:
        query = str(row.get(roles["query"]))
        for name, system in list(scores.items())[: 1 if "system" in roles else None]:
            whose = str(row.get(roles["system"])) if "system" in roles else system
            whose += f", seed {row.get(roles['seed'])}" if seeds else ""
            sign = -1.0 if name == roles.get("rank") else 1.0
            told = tuple(number(row.get(roles.get(role, ""))) for role in ("label", "complies"))
            found = (sign * number(row.get(name)), *told)
            pool = gathered.items[whose, query]
            item = str(row.get(roles["candidate"])) if roles["candidate"] else f"{UNNAMED}{len(pool)}"
            known = pool.setdefault(item, (found[0], found[1], found[2]))
            gathered.conflicts += not np.array_equal(known, found, equal_nan=True)
    _stated_beside(rows, roles, gathered)


def _stated_beside(rows: Sequence[Row], roles: Mapping[str, str], gathered: _Gathered) -> None:
    """Take the values that each candidate's row repeats for its query."""
    for name, (metric, system) in _value_columns(rows, roles).items():
        if not words_of(name)[0]:
            continue
        for row in rows:
            whose = str(row.get(roles["system"])) if "system" in roles else system or ONE
            key = metric, whose, str(row.get(roles["query"])), str(row.get(roles.get("seed", "")))
            value = number(row.get(name))
            if not gathered.values[key] or (np.isfinite(value) and value not in gathered.values[key]):
                gathered.values[key].append(value)


def _pools(rows: Sequence[Row], roles: Mapping[str, str]) -> dict[str, dict[str, int]]:
    pools: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows if {"pool", "system"} <= set(roles) else []:
        size = number(row.get(roles["pool"]))
        if np.isfinite(size):
            pools[str(row.get(roles["system"]))][str(row.get(roles["query"]))] = int(size)
    return dict(pools)


def _differences(rows: Sequence[Row], roles: Mapping[str, str]) -> dict[str, float]:
    named = [n for n in rows[0] if set(n.split("_")) & set(DIFFERENCES)]
    if not named:
        return {}
    return {str(row.get(roles["query"])): number(row.get(named[0])) for row in rows}


def _put(gathered: _Gathered, results: Results) -> None:
    seeds: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for (metric, system, query, _), values in gathered.values.items():
        gathered.conflicts += len(values) - 1
        seeds[metric, system, query].append(values[0])
    for (metric, system, query), values in seeds.items():
        by_query = results.stated.setdefault(metric, {}).setdefault(system, {})
        by_query[query] = float(np.mean(values))
    for (system, query), items in gathered.items.items():
        table = np.array(list(items.values()), dtype=np.float64)
        ranked = Ranked(tuple(items), table[:, 0], table[:, 1], table[:, 2])
        results.ranked.setdefault(system, {})[query] = ranked
    results.conflicts = gathered.conflicts
