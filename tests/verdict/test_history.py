import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import historic_claims as claims
from benchmarks import history
from benchmarks.historic_audit import (
    metric_reasons,
    night_reasons,
    saturation_reasons,
    table_reasons,
    training_reasons,
)
from models.data_production import GRADES
from models.metrics import ndcg_at_k
from nightshift.events import append_line
from nightshift.instant import wall_now

HONEST = """
import math
GAINS = {"hard_negative": 0, "low": 1, "medium": 3, "high": 7}
def dcg(gains):
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains[:10]))
def ndcg(candidates):
    gains = [GAINS[candidate["quality_tier"]] for candidate in candidates]
    best = dcg(sorted(gains, reverse=True))
    return dcg(gains) / best if best else None
"""


def honest_data(path: Path) -> Path:
    """The person's format, its scores an honest and imperfect ranking of the tiers."""
    rng, tiers = np.random.default_rng(1), list(GRADES)
    records = []
    for number in range(40):
        items = [
            {
                "id": f"c{place}",
                "alt_description": f"item {number} {place}",
                "score": float(GRADES[tier] / 4 + rng.normal(0, 0.4)),
                "domain": "food",
                "quality_tier": tier,
            }
            for place, tier in enumerate(rng.choice(tiers, 30))
        ]
        query = {"query": f"search {number}", "query_id": f"q{number}", "domain": "food", "candidates": items}
        records.append(query)
    path.write_text(json.dumps({"inspirations": records}))
    return path


@pytest.mark.data
def test_all_five_published_claims_are_invalid_for_their_true_reasons(shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.record.RESULTS", tmp_path)
    data = shared_data / "production_dataset" / "production_dataset.json"
    assert history.main(["--data", str(data)]) == 0
    rows = json.loads((tmp_path / "history.json").read_text())["rows"]
    assert [row["state"] for row in rows] == ["INVALID"] * 5
    told = [row["true reason"] for row in rows]
    assert "the system's own score as the gain" in told[0]
    assert "saturated: V1.0 already scores 1.0000" in told[0]
    assert "does not depend on whether the top item complies" in told[1]
    assert "adding 0.1 to every score changes its value" in told[1]
    assert "a coin's" in told[2]
    assert "training queries" in told[2]
    assert "image vectors are noise" in told[2]
    assert "it asks for relevance, which the data does not have" in told[3]
    assert "5 of 120 queries were done" in told[4]


@pytest.mark.data
def test_the_published_figures_come_out_again(shared_data, tmp_path):
    data = shared_data / "production_dataset" / "production_dataset.json"
    person = history.read_history(data, tmp_path)
    figures = [claim(person, tmp_path).reproduced for claim in history.AUDITS]
    assert figures[0].startswith("+0.0114")
    assert figures[1].startswith("+0.1436")
    assert float(figures[2][:7]) == pytest.approx(0.0307, abs=0.002)
    assert figures[3] == "+0.000000, CI [0, 0]"
    assert "5 queries of 120" in figures[4]


def test_an_honest_metric_on_honest_data_is_not_invalid(tmp_path):
    person = history.read_history(honest_data(tmp_path / "data.json"), tmp_path)
    (tmp_path / "honest.py").write_text(HONEST)
    assert metric_reasons("honest.py:ndcg", tmp_path, person.keys) == []
    assert saturation_reasons(person.queries) == []
    assert metric_reasons(history.spec_of(claims.own_score_ndcg), history.REPOSITORY, person.keys)


def test_an_honest_table_is_not_invalid(tmp_path):
    person = history.read_history(honest_data(tmp_path / "data.json"), tmp_path)
    rng = np.random.default_rng(2)
    rows = []
    for query in person.queries:
        better = query.relevance() + rng.normal(0, 0.5, len(query.candidates))
        for system, scores in (("V1", query.scores_v1()), ("V2", better)):
            value = ndcg_at_k(scores, query.relevance())
            for candidate, score in zip(query.candidates, scores, strict=True):
                row = {"query_id": query.id, "system": system, "doc_id": candidate.id, "score": score}
                rows.append({**row, "relevance": candidate.relevance, "ndcg@10": value})
    assert table_reasons(rows, tmp_path) == []
    assert table_reasons([{**row, "ndcg@10": 0.9} for row in rows], tmp_path)


def test_an_honest_training_is_not_invalid():
    rng = np.random.default_rng(3)
    themes = rng.normal(size=(12, 64))
    real = themes[rng.integers(0, 12, 400)] + 0.3 * rng.normal(size=(400, 64))
    accuracies = np.clip(rng.normal(0.8, 0.1, 60), 0, 1)
    train, test = [f"search {i}" for i in range(60)], [f"search {i}" for i in range(60, 120)]
    assert training_reasons(accuracies, real, train, test) == []
    assert "noise" in training_reasons(accuracies, rng.normal(size=(400, 64)), train, test)[0]
    assert "training queries" in training_reasons(accuracies, real, train, train)[0]
    assert "a coin's" in training_reasons(accuracies - 0.3, real, train, test)[0]


def test_an_honest_night_is_not_invalid_and_neither_is_a_declared_early_stop(tmp_path):
    for reason, done in (("done", 120), ("no better for 5 epochs", 40)):
        events = tmp_path / f"{done}.jsonl"
        at = wall_now().isoformat()
        append_line(events, {"kind": "progress", "at": at, "samples": done, "total": 120})
        append_line(events, {"kind": "finished", "at": at, "reason": reason})
        assert night_reasons(events, took_s=11_000, planned_s=28_800) == []
        assert night_reasons(events, took_s=74, planned_s=28_800) == ["it took 74 of 28,800 s"]


def test_one_claim_that_stands_ends_with_exit_code_1(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.record.RESULTS", tmp_path)
    stands = history.Claim(claims.PUBLISHED["night"], "a whole night", [])
    monkeypatch.setattr(history, "AUDITS", (history.night_claim, lambda person, folder: stands))
    assert history.main(["--data", str(honest_data(tmp_path / "data.json"))]) == 1


def test_without_the_data_it_says_so(tmp_path, capsys):
    assert history.main(["--data", str(tmp_path / "none.json")]) == 2
    assert "there is no" in capsys.readouterr().err
    (tmp_path / "other.json").write_text("{}")
    assert history.main(["--data", str(tmp_path / "other.json")]) == 2
    assert "not in the production format" in capsys.readouterr().err
