"""LETOR files: `label qid:ID feature:value ...`, one document a line, queries in blocks."""

import math
from pathlib import Path

import numpy as np

from models.dataset import MAX_GRADE, DataError, DataSource, FeatureQuery, Problem
from models.metrics import mean_ndcg

NAMES = {"train": ("train.txt",), "val": ("vali.txt", "val.txt", "valid.txt"), "test": ("test.txt",)}
MEND = f"write `label qid:ID feature:value ...`, labels 0..{MAX_GRADE}, features counted from 1"


def split_files(folder: Path) -> dict[str, Path]:
    """Return the LETOR files of a folder by split; what is missing is not in it."""
    found: dict[str, Path] = {}
    for split, names in NAMES.items():
        for name in names:
            if (folder / name).is_file():
                found.setdefault(split, folder / name)
    return found


def is_letor(folder: Path) -> bool:
    """Return whether this folder looks like LETOR files."""
    return folder.is_dir() and "train" in split_files(folder)


def _parse_line(line: str) -> tuple[int, str, dict[int, float]]:
    label, query, *pairs = line.split("#", 1)[0].split()
    if not query.startswith("qid:"):
        raise ValueError("no qid")
    values = {}
    for pair in pairs:
        index, value = pair.split(":", 1)
        values[int(index)] = float(value)
    grade = int(label)
    if not 0 <= grade <= MAX_GRADE:
        raise ValueError(f"label {grade}")
    if not all(math.isfinite(value) for value in values.values()):
        raise ValueError("a value that is not finite")
    if values and min(values) < 1:
        raise ValueError("a feature index below 1")
    return grade, query[4:], values


Rows = dict[str, list[tuple[int, dict[int, float]]]]


def _read_rows(path: Path) -> tuple[Rows, list[Problem]]:
    rows: Rows = {}
    problems, last = [], ""
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.split("#", 1)[0].strip():
                continue
            try:
                grade, query, values = _parse_line(line)
            except ValueError as error:
                problems.append(
                    Problem(f"{path.name}:{number}", f"bad line ({error})", MEND, "broken_line", True)
                )
                continue
            if query in rows and query != last:
                what = f"query {query} continues after another one"
                mend = "keep each query's lines together"
                problems.append(Problem(f"{path.name}:{number}", what, mend, "duplicate_query_id", True))
            rows.setdefault(query, []).append((grade, values))
            last = query
    if not rows and not problems:
        problems.append(Problem(path.name, "no query in this split", "give it queries", "empty_split", True))
    return rows, problems


def load_letor(path: Path, width: int = 0) -> list[FeatureQuery]:
    """Return the queries of a LETOR file; features dense, at least `width` of them, absent ones 0.

    Raises DataError naming the first line that is not one.
    """
    rows, problems = _read_rows(path)
    if problems:
        raise DataError(f"{problems[0].where}: {problems[0].what}; {problems[0].mend}")
    widest = max([width, *(max(v, default=0) for documents in rows.values() for _, v in documents)])
    return [_dense(query, documents, widest) for query, documents in rows.items()]


def _dense(query: str, documents: list[tuple[int, dict[int, float]]], width: int) -> FeatureQuery:
    features = np.zeros((len(documents), width), dtype=np.float32)
    for row, (_, values) in enumerate(documents):
        for index, value in values.items():
            features[row, index - 1] = value
    return FeatureQuery(query, features, np.array([grade for grade, _ in documents], dtype=np.int64))


def read_letor(folder: Path) -> tuple[DataSource | None, list[Problem]]:
    """Return the data set and every problem found; None where one of them is fatal."""
    files = split_files(folder)
    missing = [split for split in NAMES if split not in files]
    if missing:
        mend = "give train.txt, vali.txt and test.txt"
        return None, [Problem(str(folder), f"no {NAMES[s][0]}", mend, "missing_split", True) for s in missing]
    read = {split: _read_rows(path) for split, path in files.items()}
    problems = [problem for _, found in read.values() for problem in found]
    shared = set(read["train"][0]) & set(read["test"][0])
    if shared:
        # Numbering restarts in each file of many public sets, so equal ids prove nothing by themselves.
        what = f"{len(shared)} query ids stand in train and in test"
        problems.append(
            Problem(str(folder), what, "check that they are not the same queries", "id_overlap", False)
        )
    if any(problem.fatal for problem in problems):
        return None, problems
    return DataSource("letor", folder.name, folder, files, None), problems


def letor_v1(train: list[FeatureQuery]) -> tuple[int, int]:
    """Return (column, sign) of the best single feature on train by mean nDCG@10: V1.0 of feature files."""
    labels = [query.relevance for query in train]
    best = (-1.0, 0, 1)
    for column in range(train[0].features.shape[1]):
        values = [query.features[:, column].astype(np.float64) for query in train]
        if all(np.ptp(v) == 0 for v in values):
            continue
        for sign in (1, -1):
            score = mean_ndcg([sign * v for v in values], labels)
            if score > best[0]:
                best = (score, column, sign)
    return best[1], best[2]
