"""Any data set a night can use, from what `--data` names."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.data_catalogue import catalogue
from models.data_folder import is_folder, load_split, read_folder
from models.data_letor import is_letor, letor_v1, load_letor, read_letor
from models.data_production import is_production, read_production
from models.data_sync import brought_here, is_remote
from models.dataset import DataError, DataSource, FeatureQuery, Problem, Query
from models.metrics import mean_ndcg

__all__ = [
    "check_source",
    "corrected_example",
    "letor_v1",
    "load_letor",
    "load_split",
    "open_source",
    "summary",
]

TEST_QUERIES = 500
FORMATS = "a folder with train.jsonl, val.jsonl, test.jsonl; LETOR files; or production_dataset.json"


def check_source(
    where: str | Path | None, cache: Path, test_queries: int = TEST_QUERIES
) -> tuple[DataSource | None, list[Problem]]:
    """Return the data set, or None where it is refused, and every problem found in it.

    `where` None is the built-in catalogue with 120 or 500 test queries; an address (`s3://`, `git+https://`) is
    brought into the cache first. Raises DataError where it cannot be.
    """
    cache.mkdir(parents=True, exist_ok=True)
    if where is None:
        return catalogue(cache, test_queries), []
    path = brought_here(str(where), cache) if is_remote(str(where)) else Path(where).resolve()
    if is_folder(path):
        return read_folder(path, cache)
    if is_letor(path):
        return read_letor(path)
    if is_production(path):
        return read_production(path, cache)
    what = "there is no such file or folder" if not path.exists() else "this is no data set I know"
    return None, [Problem(str(where), what, f"give {FORMATS}", "unknown_format", True)]


def open_source(where: str | Path | None, cache: Path, test_queries: int = TEST_QUERIES) -> DataSource:
    """Return the checked data set.

    Raises DataError naming the first thing that must be mended, and how many there are.
    """
    source, problems = check_source(where, cache, test_queries)
    if source is None:
        fatal = [problem for problem in problems if problem.fatal]
        first, more = fatal[0], len(fatal) - 1
        others = f" (and {more} more; `nightshift check` lists them)" if more else ""
        raise DataError(f"{first.where}: {first.what}; {first.mend}{others}")
    return source


def corrected_example(problem: Problem) -> str:
    """Return one line in the right format, with what this problem is about put right."""
    if problem.kind in ("broken_line",) or problem.where.split(":")[0].endswith(".txt"):
        return "2 qid:17 1:0.5 2:0.031 7:12"
    candidates: list[dict[str, object]] = [
        {
            "id": "item-1",
            "image": "images/item-1.jpg",
            "text": "red cocktail with berries",
            "attributes": {"price": 9.5, "origin": "italy", "tags": ["vegan"], "abv": None},
            "relevance": 3,
            "score_v1": 0.61,
            "complies": True,
        },
        {
            "id": "item-2",
            "image": None,
            "text": "black coffee",
            "attributes": {},
            "relevance": 0,
            "score_v1": 0.12,
            "complies": False,
        },
    ]
    return json.dumps({"query_id": "q-1", "query": "red vegan cocktail", "candidates": candidates})


@dataclass(frozen=True)
class SplitSummary:
    """What one split holds."""

    queries: int
    candidates: int
    pictures: int
    texts: int
    ndcg_v1: float
    ndcg_random: float
    head_room: float
    """1 - nDCG@10 of V1.0: no night can gain more."""
    compliance_labelled: float
    """Share of candidates with `complies`."""


def summary(source: DataSource) -> dict[str, SplitSummary]:
    """Return what each split holds, scored with V1.0."""
    if source.kind == "letor":
        width = max(q.features.shape[1] for path in source.splits.values() for q in load_letor(path))
        loaded = {split: load_letor(path, width) for split, path in source.splits.items()}
        column, sign = letor_v1(loaded["train"])
        return {split: _feature_summary(queries, column, sign) for split, queries in loaded.items()}
    return {split: _query_summary(load_split(path, source.images)) for split, path in source.splits.items()}


def _query_summary(queries: list[Query]) -> SplitSummary:
    items = [candidate for query in queries for candidate in query.candidates]
    labels = [query.relevance() for query in queries]
    v1 = mean_ndcg([query.scores_v1() for query in queries], labels)
    return SplitSummary(
        queries=len(queries),
        candidates=len(items),
        pictures=len({item.image for item in items if item.image}),
        texts=len({item.text for item in items}),
        ndcg_v1=v1,
        ndcg_random=mean_ndcg([np.zeros(label.size) for label in labels], labels),
        head_room=1 - v1,
        compliance_labelled=float(np.mean([item.complies is not None for item in items])),
    )


def _feature_summary(queries: list[FeatureQuery], column: int, sign: int) -> SplitSummary:
    labels = [query.relevance for query in queries]
    v1 = mean_ndcg([sign * query.features[:, column].astype(np.float64) for query in queries], labels)
    return SplitSummary(
        queries=len(queries),
        candidates=sum(label.size for label in labels),
        pictures=0,
        texts=0,
        ndcg_v1=v1,
        ndcg_random=mean_ndcg([np.zeros(label.size) for label in labels], labels),
        head_room=1 - v1,
        compliance_labelled=0.0,
    )
