"""What a trainer states of single queries, recomputed: a value without scores behind it is not a result."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from models.dataset import FeatureQuery, Query
from models.metrics import has_ranking, ndcg_at_k
from nightshift.rundir import RunDir
from verdict.reasons import Reason, stop
from verdict.scored import ScoredSplit
from verdict.seal import Seal

SAME = 1e-3
"""Stated and recomputed nDCG@10 of one query may differ by so much: rounding, one tie."""
FEW = 0.02
"""Share of queries that may differ by more: near ties fall either way on another machine."""
Line = dict[str, JsonValue]


@dataclass(frozen=True)
class Stated:
    """One file of stated results."""

    stage: str
    head: Line
    lines: list[Line]


def read_stated(run: RunDir, seal: Seal) -> list[Stated]:
    """Return every file of per-query results in the night's stages."""
    found = []
    for stage in seal.night.stages:
        path = run.stage(stage.name).results
        if path.is_file():
            head, *lines = _lines(path) or [{}]
            found.append(Stated(stage.name, head, lines))
    return found


def _lines(path: Path) -> list[Line]:
    lines: list[Line] = []
    for text in path.read_text(errors="replace").splitlines():
        try:
            record = json.loads(text)
        except ValueError:
            record = {}
        lines.append(record if isinstance(record, dict) else {})
    return lines


def check_stated(stated: Stated, checkpoint_sha256: str, seal: Seal, split: ScoredSplit) -> list[Reason]:
    """Return why stated per-query results must not be believed; `split` was scored by the judge.

    Results of another checkpoint than the judged one are checked for their own scores only.
    """
    if stated.head.get("nonce") != seal.nonce:
        return [stop(f"{stated.stage}/results.jsonl carries the nonce of another night, or none")]
    if stated.head.get("split") == "test":
        return [stop(f"{stated.stage} states results of the test split, which no stage may read")]
    mine = stated.head.get("checkpoint") == checkpoint_sha256
    known = {query.id: row for row, query in enumerate(list[Query | FeatureQuery](split.queries))}
    checked = [_check_line(line, known, split, mine) for line in stated.lines]
    wrong = [why for why in checked if why]
    if len(wrong) <= FEW * max(1, len(checked)) and not any("candidates" in why for why in wrong):
        return []
    return [
        stop(
            f"{len(wrong)} of {len(checked)} per-query results that {stated.stage} states are not what "
            f"its scores give: {wrong[0]}",
            f"Find where stages/{stated.stage}/out/results.jsonl comes from (15 min).",
        )
    ]


def _check_line(line: Line, known: dict[str, int], split: ScoredSplit, mine: bool) -> str:
    """Return what is wrong with one stated query, or an empty text."""
    row = known.get(str(line.get("query_id")))
    if row is None:
        return f"query {line.get('query_id')!r} is not in the split"
    labels, scores, value = split.relevance[row], line.get("scores"), line.get("ndcg_at_10")
    if not isinstance(scores, list):
        return f"query {line['query_id']!r} has a value and no scores"
    own = np.array([s if isinstance(s, int | float) else np.nan for s in scores], dtype=np.float64)
    if own.size != labels.size or not np.isfinite(own).all():
        return f"query {line['query_id']!r} was ranked over {own.size} candidates, its pool has {labels.size}"
    if not has_ranking(labels):
        return "" if value is None else f"query {line['query_id']!r} has no ranking, and a value"
    given = ndcg_at_k(own, labels)
    judged = ndcg_at_k(split.new[row], labels) if mine else given
    if not isinstance(value, int | float) or max(abs(value - given), abs(value - judged)) > SAME:
        return f"query {line['query_id']!r} states {value}, its scores give {given:.4f}, the judge's {judged:.4f}"
    return ""
