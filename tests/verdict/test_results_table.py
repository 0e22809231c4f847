import csv
import json

import numpy as np
import pytest

from models.metrics import ndcg_per_query
from verdict.answer import BELIEVED, CANNOT_TELL, NOT_BELIEVED
from verdict.results_table import audit_results
from verdict.results_values import possible_ndcg
from verdict.statistics import t_interval

QUERIES, POOL = 60, 12


def night(seed=3, better=0.7):
    """Labels, V1's and a new system's scores of 60 queries."""
    rng = np.random.default_rng(seed)
    labels = [rng.permutation([3, 2, 1, 1] + [0] * 8) for _ in range(QUERIES)]
    v1 = [label / 2 + rng.normal(0, 1.5, POOL) for label in labels]
    new = [label * better + rng.normal(0, 0.7, POOL) for label in labels]
    return labels, v1, new


def values(seed=3, better=0.7):
    labels, v1, new = night(seed, better)
    return ndcg_per_query(v1, labels), ndcg_per_query(new, labels)


def per_query(v1, new, name="ndcg_at_10", **more):
    return [
        {"query_id": f"q{i}", "system": system, name: float(value), **more}
        for system, column in (("v1", v1), ("new", new))
        for i, value in enumerate(column)
    ]


def per_candidate(labels, v1, new, stated=None):
    rows = []
    for system, column in (("v1", v1), ("new", new)):
        for i, scores in enumerate(column):
            extra = {} if stated is None else {"ndcg@10": float(stated[system][i])}
            for j, score in enumerate(scores):
                item = {"doc_id": f"d{j}", "score": float(score), "relevance": int(labels[i][j])}
                rows.append({"query_id": f"q{i}", "system": system, **item, **extra})
    return rows


@pytest.fixture
def audit(tmp_path):
    def run(rows, name="results.csv"):
        path = tmp_path / name
        if path.suffix == ".jsonl":
            path.write_text("\n".join(json.dumps(row) for row in rows))
        elif path.suffix == ".json":
            path.write_text(json.dumps(rows))
        elif path.suffix == ".parquet":
            import pyarrow
            from pyarrow import parquet

            parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        else:
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0], delimiter="\t" if path.suffix == ".tsv" else ",")
                writer.writeheader()
                writer.writerows(rows)
        return audit_results(path)

    return run


def sentence(answers, belief):
    assert answers[0].belief == belief, answers
    return answers[0].sentence


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_an_honest_table_with_raw_scores_is_believed_with_its_interval(audit, suffix):
    answers = audit(per_candidate(*night()), f"results.{suffix}")
    v1, new = values()
    expected = t_interval(new - v1)
    assert len(answers) == 1
    assert "A gain, recomputed from raw scores" in sentence(answers, BELIEVED)
    facts = answers[0].facts
    assert (facts["gain"], facts["low"], facts["n"]) == pytest.approx((expected.mean, expected.low, QUERIES))


def test_stated_values_that_agree_are_believed_also_when_rounded(audit):
    v1, new = values()
    for decimals in (12, 4, 3):
        stated = {"v1": np.round(v1, decimals), "new": np.round(new, decimals)}
        assert audit(per_candidate(*night(), stated=stated))[0].belief == BELIEVED


def test_stated_values_that_the_raw_scores_do_not_give_are_not_believed(audit):
    v1, new = values()
    answers = audit(per_candidate(*night(), stated={"v1": v1, "new": np.minimum(1, new + 0.002)}))
    assert "its raw scores and labels give" in sentence(answers, NOT_BELIEVED)


def test_wide_tables_and_lists_are_read_too(audit):
    labels, v1, new = night()
    wide = [
        {"qid": f"q{i}", "item": j, "label": int(labels[i][j]), "score_v1": v1[i][j], "score_v2": new[i][j]}
        for i in range(QUERIES)
        for j in range(POOL)
    ]
    lists = [
        {"query": f"q{i}", "model": name, "scores": scores[i].tolist(), "labels": labels[i].tolist()}
        for name, scores in (("v1", v1), ("v2", new))
        for i in range(QUERIES)
    ]
    first, second = audit(wide), audit(lists, "lists.jsonl")
    assert first[0].subject.endswith("v2 over v1")
    assert first[0].facts["gain"] == second[0].facts["gain"]
    assert (first[0].belief, second[0].belief) == (BELIEVED, BELIEVED)


def test_values_alone_cannot_be_believed(audit):
    v1, new = values()
    wide = [{"query": f"q{i}", "ndcg_v1": v1[i], "ndcg_v2": new[i]} for i in range(QUERIES)]
    tidy = [
        {"query": f"q{i}", "system": system, "metric": "ndcg@10", "value": column[i]}
        for system, column in (("v1", v1), ("new", new))
        for i in range(QUERIES)
    ]
    for rows in (per_query(v1, new), wide, tidy):
        answers = audit(rows)
        assert "cannot be recomputed" in sentence(answers, CANNOT_TELL)
        assert answers[0].facts["gain"] == pytest.approx(float((new - v1).mean()))


def test_a_true_zero_gain_is_believed_and_called_no_gain(audit):
    labels, v1, _ = night()
    rng = np.random.default_rng(9)
    other = [label / 2 + rng.normal(0, 1.5, POOL) for label in labels]
    answers = audit(per_candidate(labels, v1, other))
    assert "No gain is shown" in sentence(answers, BELIEVED)


def test_a_loss_is_believed_as_a_loss(audit):
    labels, v1, new = night()
    assert "It is a loss" in sentence(audit(per_candidate(labels, new, v1)), BELIEVED)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v1, new: (v1 * 0, new * 0), "labels are missing, this is no failed model"),
        (lambda v1, new: (v1 * 0 + 1, new * 0 + 1), "saturated"),
        (lambda v1, new: (v1, v1), "compared with itself"),
        (lambda v1, new: (v1 * 0.9, v1 * 0.9 + 0.03), "every query gains the same +0.0300"),
        (lambda v1, new: (v1 * 0.9, v1 * 0.9 * 1.05), "times 1.0500"),
        (lambda v1, new: (v1, new + 0.2), "outside 0..1"),
        (lambda v1, new: (v1, new[:-10]), "different queries: 10 only for v1"),
    ],
)
def test_values_that_no_two_systems_give_are_not_believed(audit, change, said):
    answers = audit(per_query(*change(*values())))
    assert said in sentence(answers, NOT_BELIEVED).lower().replace("ndcg", "nDCG")


def test_identical_columns_are_invalid_and_not_no_gain(audit):
    v1, _ = values()
    answers = audit(per_query(v1, v1))
    assert "which is not 'no gain'" in sentence(answers, NOT_BELIEVED)
    assert (answers[0].facts["low"], answers[0].facts["high"]) == (0, 0)


def test_another_pool_or_other_labels_per_system_are_not_believed(audit):
    rows = per_candidate(*night())
    smaller = [row for row in rows if row["system"] == "v1" or row["doc_id"] != "d3"]
    assert "another pool" in sentence(audit(smaller), NOT_BELIEVED)
    relabelled = [
        {**row, "relevance": row["relevance"] + (row["system"] == "new" and row["doc_id"] == "d2")}
        for row in rows
    ]
    assert "different labels" in sentence(audit(relabelled), NOT_BELIEVED)
    stated = [{**row, "pool_size": 30 if row["system"] == "v1" else 20} for row in per_query(*values())]
    assert "another pool" in sentence(audit(stated), NOT_BELIEVED)


def test_missing_labels_and_own_scores_as_labels_are_not_believed(audit):
    rows = per_candidate(*night())
    empty = [{**row, "relevance": 0} for row in rows]
    assert "every label is 0" in sentence(audit(empty), NOT_BELIEVED)
    own = [{**row, "relevance": row["score"]} for row in rows]
    assert "the system's own scores" in sentence(audit(own), NOT_BELIEVED)


def test_a_query_without_relevant_items_may_not_count_1(audit):
    v1, new = values()
    rows = per_candidate(*night(), stated={"v1": v1, "new": new})
    for row in rows:
        if row["query_id"] == "q7":
            row["relevance"], row["ndcg@10"] = 0, 1.0
    assert "without a relevant item" in sentence(audit(rows), NOT_BELIEVED)
    for row in rows:
        row["ndcg@10"] = 0.0 if row["query_id"] == "q7" else row["ndcg@10"]
    answers = audit(rows)
    assert (answers[0].belief, answers[0].facts["n"], answers[0].facts["left_out"]) == (
        BELIEVED,
        QUERIES - 1,
        1,
    )


def test_rows_that_stand_twice_are_told_and_hold_the_rest_back(audit):
    rows = per_candidate(*night())
    answers = audit(rows + rows[:7])
    assert "7 of 1447 rows stand there twice" in sentence(answers, NOT_BELIEVED)
    assert answers[1].belief == CANNOT_TELL
    assert answers[1].facts["n"] == QUERIES


def test_few_queries_are_too_few_whatever_they_say(audit):
    labels, v1, new = night()
    answers = audit(per_candidate(labels[:15], v1[:15], new[:15]))
    assert sentence(answers, CANNOT_TELL).startswith("15 queries are too few; 20 are the least")


def test_values_measured_on_training_data_are_not_believed(audit):
    assert "training split" in sentence(audit(per_query(*values(), split="train")), NOT_BELIEVED)


def test_seeds_are_averaged_per_query_and_counted(audit):
    v1, new = values()
    rows = per_query(v1, new, seed=1) + per_query(v1, new + 0.002 - 0.004 * (new > 0.99), seed=2)
    answers = audit(rows)
    assert (answers[0].facts["seeds"], answers[0].facts["n"]) == (2, QUERIES)


def test_a_compliance_between_0_and_1_is_made_of_scores(audit):
    rng = np.random.default_rng(1)
    rows = per_query(rng.uniform(0.8, 0.9, 40), rng.uniform(0.9, 1, 40), "compliance@1")
    assert "made of scores, not of labels" in sentence(audit(rows), NOT_BELIEVED)


def test_compliance_is_recomputed_from_the_top_item(audit):
    rows = [{**row, "complies": row["relevance"] > 1} for row in per_candidate(*night())]
    told = {answer.subject.split("gain in ")[1]: answer for answer in audit(rows)}
    compliance = told["Compliance@1, new over v1"]
    labels, _, new = night()
    top = np.mean([label[score.argmax()] > 1 for label, score in zip(labels, new, strict=True)])
    assert compliance.belief == BELIEVED
    assert compliance.facts["new"] == pytest.approx(top)


def test_values_drawn_around_a_mean_are_never_believed_and_look_it(audit):
    rng = np.random.default_rng(5)
    answers = audit(per_query(rng.normal(0.6, 0.08, 100), rng.normal(0.65, 0.08, 100)))
    assert "look drawn at random" in sentence(answers, CANNOT_TELL)


def test_a_value_that_no_order_of_the_labels_gives_is_not_believed(audit):
    labels, v1, new = night()
    binary = [(label > 1).astype(int) for label in labels]
    true = {"v1": ndcg_per_query(v1, binary), "new": ndcg_per_query(new, binary)}
    rows = per_candidate(binary, v1, new, stated={name: np.round(column, 4) for name, column in true.items()})
    unscored = [{name: cell for name, cell in row.items() if name != "score"} for row in rows]
    assert audit(unscored)[0].belief == CANNOT_TELL
    drawn = [{**row, "ndcg@10": 0.7123} for row in unscored]
    assert "no order of its candidates gives" in sentence(audit(drawn), NOT_BELIEVED)


def test_possible_values_hold_every_value_that_occurs():
    rng = np.random.default_rng(2)
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    possible = possible_ndcg(labels)
    seen = ndcg_per_query([rng.permutation(8) for _ in range(300)], [labels] * 300)
    assert np.abs(seen[:, None] - possible[None, :]).min(axis=1).max() < 1e-12
    assert possible.size == 56  # 8 choose 3


@pytest.mark.parametrize("seed", range(20))
def test_honest_tables_are_not_flagged(audit, seed):
    assert audit(per_candidate(*night(seed, 0.5)))[0].belief != NOT_BELIEVED
    assert audit(per_query(*values(seed, 0.5)))[0].belief == CANNOT_TELL


def test_what_cannot_be_read_says_what_is_lacking(audit, tmp_path):
    assert "call it query_id" in sentence(audit([{"a": 1, "b": 2}]), CANNOT_TELL)
    assert "name one ndcg_at_10" in sentence(audit([{"query": "q", "text": "tea"}]), CANNOT_TELL)
    assert "No such file" in sentence(audit_results(tmp_path / "none.csv"), CANNOT_TELL)
    (tmp_path / "broken.json").write_text("{")
    assert "cannot be read" in sentence(audit_results(tmp_path / "broken.json"), CANNOT_TELL)
    assert "is no results table" in sentence(audit_results(tmp_path / "table.docx"), CANNOT_TELL)
