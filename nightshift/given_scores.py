"""Scores for the judge from a model that Nightshift cannot load: one line per query (standard library only)."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from nightshift.trainer_run import TrainerRun

KIND = "scores"
FILE = "scores.jsonl"
Scores = Mapping[str, Sequence[float]]
"""Query id -> one score per candidate, in the order of the query's pool; a larger score ranks higher."""


def write_scores(path: Path, splits: Mapping[str, Scores]) -> None:
    """Write scores by split: `val` and `test`.

    Raises ValueError for a score that is not a finite number.
    """
    with path.open("w") as file:
        for split, scores in splits.items():
            for query, values in scores.items():
                numbers = [float(value) for value in values]
                if not all(map(math.isfinite, numbers)):
                    raise ValueError(f"query {query!r} of {split} has a score that is not a finite number")
                file.write(json.dumps({"split": split, "query_id": query, "scores": numbers}) + "\n")


def save_scores(
    run: TrainerRun, step: int, splits: Mapping[str, Scores], selection_score: float, **state: object
) -> Path:
    """Return the checkpoint that holds these scores; the judge takes the one of the largest `selection_score`.

    `selection_score` was measured on validation, larger is better. Raises ValueError as `write_scores` does.
    """
    return run.save(
        step,
        lambda folder: write_scores(folder / FILE, splits),
        kind=KIND,
        selection_score=float(selection_score),
        **state,
    )
