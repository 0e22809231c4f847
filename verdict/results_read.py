"""A results table of any usual shape, read into one: values per metric, system and query, and raw scores.

Shapes: one row per (query, system), one per (query, candidate, system), or wide with a column per system;
in `.csv`, `.tsv`, `.json` (a list), `.jsonl` or `.parquet`. Columns are known by their usual names.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightshift.states import NightError

Floats = NDArray[np.float64]
Row = Mapping[str, object]
NAMES = {
    "query": ("query_id", "qid", "queryid", "topic_id", "topic", "query", "q"),
    "system": ("system", "model", "run", "method", "variant", "system_name", "run_id"),
    "candidate": ("candidate_id", "candidate", "doc_id", "docid", "docno", "document", "document_id", "doc",
                  "item_id", "item", "id"),
    "label": ("relevance", "label", "labels", "rel", "grade", "y_true", "target", "relevance_label"),
    "complies": ("complies", "compliant", "is_compliant"),
    "score": ("score", "scores", "pred", "prediction", "model_score", "y_score"),
    "rank": ("rank", "position"),
    "pool": ("pool", "pool_size", "n_candidates", "num_candidates", "candidates_n", "candidates", "n"),
    "seed": ("seed",),
    "split": ("split", "fold"),
}  # fmt: skip
MEASURES = ("ndcg", "mrr", "map", "precision", "recall", "compliance", "hit", "err", "value", "metric", "auc")
FILLERS = ("at", "k", "mean", "score", "scores", "pred")
NEVER = ("latency", "time", "ms", "seconds", "price", "index", "unnamed", "relevant", "delta", "diff", "gain",
         "difference", "improvement", "domain", "text")  # fmt: skip
TRUTH = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
UNNAMED = "#"
"""Begins the id of a candidate that the table gives none."""
DIFFERENCES = ("delta", "diff", "gain", "difference", "improvement")


class ResultsError(NightError):
    """A table that cannot be read: names the file, and what it lacks."""


@dataclass(frozen=True)
class Ranked:
    """One query's candidates as one system scored them."""

    ids: tuple[str, ...]
    scores: Floats
    labels: Floats
    """As they stand in the table, NaN where there is none."""
    complies: Floats
    """1, 0 or NaN."""


@dataclass
class Results:
    """What a table says."""

    rows: int = 0
    stated: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """Metric -> system -> query -> value; NaN where the cell holds no number."""
    ranked: dict[str, dict[str, Ranked]] = field(default_factory=dict)
    """System -> query -> its candidates; empty where the table has no raw scores."""
    pools: dict[str, dict[str, int]] = field(default_factory=dict)
    """System -> query -> size of the pool, where the table states it."""
    differences: dict[str, float] = field(default_factory=dict)
    """Query -> stated gain, where the table has nothing else."""
    twice: int = 0
    """Rows that stand there more than once."""
    conflicts: int = 0
    """Rows that contradict an earlier one for the same query, system and candidate."""
    seeds: int = 0
    splits: tuple[str, ...] = ()


def folded(name: str) -> str:
    """Return a column's name in lower case with one underscore between its words."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def number(cell: object) -> float:
    """Return a cell as a number; NaN where it holds none. True is 1."""
    if not isinstance(cell, str):
        return float(cell) if isinstance(cell, int | float | np.number) else float("nan")
    text = cell.strip().lower()
    try:
        return TRUTH[text] if text in TRUTH else float(text)
    except ValueError:
        return float("nan")


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a table, column names folded.

    Raises ResultsError where the file is missing, of another kind, empty, or not rows of columns.
    """
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".json": _read_json, ".jsonl": _read_json}
    readers[".parquet"] = _read_parquet
    if path.suffix.lower() not in readers:
        raise ResultsError(f"{path.name} is no results table; give {', '.join(readers)}")
    try:
        rows = readers[path.suffix.lower()](path)
    except (OSError, ValueError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise ResultsError(f"{path.name} cannot be read: {why}") from error
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        raise ResultsError(f"{path.name} has no rows of named columns")
    return [{folded(str(name)): cell for name, cell in row.items() if name is not None} for row in rows]


def _read_csv(path: Path) -> list[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.readline()
        file.seek(0)
        separator = max(("\t", ";", ","), key=head.count)
        return list(csv.DictReader(file, delimiter=separator))


def _read_json(path: Path) -> list[Row]:
    text = path.read_text(encoding="utf-8")
    if path.suffix.lower() == ".jsonl":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    found = json.loads(text)
    if isinstance(found, dict):
        found = next((value for value in found.values() if isinstance(value, list)), [])
    return list(found)


def _read_parquet(path: Path) -> list[Row]:
    from pyarrow import parquet

    return list(parquet.read_table(path).to_pylist())


def columns(names: Sequence[str]) -> dict[str, str]:
    """Return role -> column for the columns whose name says what they hold."""
    return {
        role: next(n for n in known if n in names) for role, known in NAMES.items() if set(known) & set(names)
    }


def words_of(name: str) -> tuple[str, str]:
    """Return metric (with its cutoff, `ndcg@10`) and system that a column's name speaks of; either may be empty."""
    found = re.search(rf"(?:^|_)({'|'.join(MEASURES)})s?(?:_at)?_?(\d*)(?:_|$)", name)
    rest = name[: found.start()] + "_" + name[found.end() :] if found else name
    system = "_".join(part for part in rest.split("_") if part and part not in FILLERS)
    if found is None:
        return "", system
    return found[1] + (f"@{found[2]}" if found[2] else ""), system


def numeric_columns(rows: Sequence[Row], taken: Sequence[str]) -> list[str]:
    """Return the columns of numbers that have no other meaning."""
    names = [n for n in rows[0] if n not in taken and not any(part in NEVER for part in n.split("_"))]
    return [n for n in names if any(np.isfinite(number(row.get(n))) for row in rows)]


def expanded(rows: Sequence[Row], roles: Mapping[str, str]) -> list[Row]:
    """Return one row per candidate where cells hold lists of scores and labels."""
    listed = [c for r, c in roles.items() if r in ("score", "label", "complies", "candidate")]
    listed = [c for c in listed if isinstance(rows[0].get(c), list)]
    if not listed:
        return list(rows)
    return list(_expand(rows, listed, roles.get("candidate", "candidate")))


def _expand(rows: Sequence[Row], listed: Sequence[str], candidate: str) -> Iterator[Row]:
    for row in rows:
        cells = {name: cell for name in listed if isinstance(cell := row.get(name), list)}
        for place in range(max((len(c) for c in cells.values()), default=0)):
            at = {name: cell[place] if place < len(cell) else None for name, cell in cells.items()}
            yield {candidate: f"{UNNAMED}{place}", **row, **at}
