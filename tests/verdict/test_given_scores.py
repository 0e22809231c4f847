"""Scores in a file: what is judged of them, and what must not pass."""

import json

import numpy as np
import pytest

from models.dataset import Candidate, FeatureQuery, Query
from models.given_scores import load_scorer
from models.unlabelled import unlabelled
from nightshift.checkpoint import write_checkpoint
from nightshift.given_scores import FILE, write_scores
from nightshift.states import NightError


def pool(name, size):
    return Query(name, "find", tuple(Candidate(f"{name}{i}", None, "text", {}, i, 0.1) for i in range(size)))


def checkpoint(folder, write):
    return write_checkpoint(folder, 1, write, {"kind": "scores"}, "nonce")


def scored(folder, scores):
    return load_scorer(checkpoint(folder, lambda f: write_scores(f / FILE, {"test": scores})))


def test_the_order_of_given_scores_is_kept_also_where_they_are_large_and_close(tmp_path):
    scorer = scored(tmp_path, {"q": [1e9 + 1, 1e9, 1e9 + 2, 1e9]})
    [request] = scorer.encode([pool("q", 4)])
    assert scorer.score(request).tolist() == [1, 0, 2, 0]


def test_pools_without_their_scores_are_told(tmp_path):
    scorer = scored(tmp_path, {"whole": [1, 2], "short": [1]})
    queries = [pool("whole", 2), pool("short", 2), pool("none", 3)]
    assert scorer.missing(queries) == ["short", "none"]
    assert np.ptp(scorer.score_many(scorer.encode(queries))[2]) == 0
    assert scorer.missing([FeatureQuery("whole", np.zeros((2, 5), np.float32), np.zeros(2, np.int64))]) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("no json", "not a query's scores"),
        ('{"query_id": "q"}', "not a query's scores"),
        ('{"query_id": "q", "scores": [1, null]}', "are no numbers"),
        ('{"query_id": "q", "scores": [[1], [2]]}', "are no numbers"),
        ('{"query_id": "q", "scores": [1]}\n{"query_id": "q", "scores": [2]}', "stands there twice"),
    ],
)
def test_a_line_that_is_none_is_refused_by_its_number(tmp_path, line, told):
    path = checkpoint(tmp_path, lambda f: (f / FILE).write_text(line) and None)
    with pytest.raises(NightError, match=told):
        load_scorer(path)


def test_numbers_that_are_none_are_refused_when_written(tmp_path):
    with pytest.raises(ValueError, match="not a finite number"):
        write_scores(tmp_path / "s", {"val": {"q": [1.0, float("nan")]}})


def test_no_label_is_left(tmp_path):
    record = {
        "query_id": "q",
        "query": "w",
        "candidates": [{"id": "a", "relevance": 3, "complies": True, "score_v1": 1}],
    }
    (tmp_path / "test.jsonl").write_text(json.dumps(record) + "\n")
    bare = json.loads(unlabelled(tmp_path / "test.jsonl", "multimodal"))
    assert bare["candidates"] == [{"id": "a", "score_v1": 1}]
    (tmp_path / "test.txt").write_text("3 qid:1 1:0.5 2:0.25\n0 qid:1 1:0.1\n")
    assert unlabelled(tmp_path / "test.txt", "letor") == "0 qid:1 1:0.5 2:0.25\n0 qid:1 1:0.1\n"
