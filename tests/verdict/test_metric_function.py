from pathlib import Path

import pytest

from verdict.answer import BELIEVED, CANNOT_TELL, NOT_BELIEVED
from verdict.metric_form import CandidateKeys
from verdict.metric_function import check_metric

SOUND = """
import math
import random
import sys
import time

def expected(scores, gains):
    groups = {}
    for score, gain in sorted(zip(scores, gains), key=lambda pair: -pair[0]):
        groups.setdefault(score, []).append(gain)
    return [sum(group) / len(group) for group in groups.values() for _ in group]

def dcg(gains, k=10):
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains[:k]))

def ndcg(scores, labels, linear=False):
    gains = [label if linear else 2**label - 1 for label in labels]
    best = dcg(sorted(gains, reverse=True))
    return dcg(expected(scores, gains)) / best if best else None
"""


@pytest.fixture
def check(tmp_path):
    def run(function: str, name: str = "f", **options):
        (tmp_path / "mine.py").write_text(f"{SOUND}\n{function}\n")
        return check_metric(f"mine.py:{name}", tmp_path, **options)

    return run


def first(result):
    assert result.answer().belief == NOT_BELIEVED
    return result.failures[0]


def test_an_own_ndcg_is_believed_and_said_to_agree_with_ours(check):
    result = check("", "ndcg")
    assert result.failures == []
    assert result.answer().belief == BELIEVED
    assert result.facts["metric"] == "nDCG@10"
    assert result.facts["largest_difference_from_ours"] < 1e-9
    assert result.facts["random"] == pytest.approx(result.facts["random_ndcg_at_10"], abs=0.03)


def test_a_linear_gain_is_a_fact_and_no_failure(check):
    result = check("def f(scores, labels): return ndcg(scores, labels, linear=True)")
    assert result.failures == []
    assert result.notes == ["its gain is linear, not 2^label - 1"]


def test_scikit_learns_ndcg_is_believed_though_its_labels_come_first(tmp_path):
    result = check_metric("sklearn.metrics:ndcg_score", tmp_path)
    assert result.failures == []
    assert (result.facts["metric"], result.facts["called_with"]) == ("nDCG", "sets of lists")


@pytest.mark.parametrize(
    ("function", "metric"),
    [
        (
            "def f(scores, labels): return sum(expected(scores, [l > 0 for l in labels])[:10]) / 10",
            "precision@10",
        ),
        (
            "def f(scores, labels):\n"
            "    found = sum(l > 0 for l in labels)\n"
            "    return sum(expected(scores, [l > 0 for l in labels])[:10]) / found if found else None",
            "recall@10",
        ),
        (
            "def f(scores, labels):\n"
            "    ranked = sorted(zip(scores, labels), key=lambda p: (-p[0], p[1]))\n"
            "    return next((1 / (i + 1) for i, (_, l) in enumerate(ranked) if l), 0.0)",
            "MRR",
        ),
    ],
)
def test_other_usual_metrics_are_recognised_and_believed(check, function, metric):
    result = check(function)
    assert result.failures == []
    assert result.facts["metric"] == metric


def test_a_function_of_many_queries_is_believed(check):
    result = check(
        "def f(scores, labels):\n"
        "    values = [v for s, l in zip(scores, labels) if (v := ndcg(s, l)) is not None]\n"
        "    return sum(values) / len(values) if values else float('nan')"
    )
    assert result.failures == []
    assert result.facts["called_with"] == "sets of lists"


def test_many_queries_may_not_count_empty_ones_as_1_nor_drop_lost_ones(check):
    ones = check(
        "def f(scores, labels): return sum(ndcg(s, l) if any(l) else 1 for s, l in zip(scores, labels)) / len(scores)"
    )
    assert "must be left out or count 0" in first(ones)
    assert any(
        failure.startswith("queries without a relevant item change its value") for failure in ones.failures
    )
    dropped = check(
        "def f(scores, labels):\n"
        "    values = [v for s, l in zip(scores, labels) if (v := ndcg(s, l))]\n"
        "    return sum(values) / len(values) if values else 0.0"
    )
    assert "different ones" in first(dropped)


def test_the_systems_own_score_as_gain_is_caught(check):
    result = check(
        "def f(scores, labels):\n    best = sorted(scores, reverse=True)\n    return dcg(best) / dcg(best)"
    )
    assert "1.0000 for every ranking, a random one included" in first(result)


def test_labels_that_are_never_seen_make_it_invalid_and_not_a_failed_model(check):
    result = check("def f(scores, labels): return ndcg(scores, [0 for _ in labels]) or 0.0")
    assert first(result).startswith("it returns 0 for every ranking, the perfect one included")


def test_a_value_that_ignores_the_labels_is_caught(check):
    assert "does not depend on the labels" in first(check("def f(scores, labels): return sum(scores) / 30"))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("scores, labels), key=lambda p: -p[0]", "order of the rows"),
        ("scores, labels), reverse=True", "better label"),
    ],
)
def test_ties_in_favour_of_sorted_rows_are_caught(check, key, said):
    result = check(
        f"def f(scores, labels):\n"
        f"    gains = [2**l - 1 for _, l in sorted(zip({key})]\n"
        f"    best = dcg(sorted(gains, reverse=True))\n"
        f"    return dcg(gains) / best if best else None"
    )
    assert said in first(result)
    assert "gives 1.0000" in first(result)
    assert result.only_ties


def test_documented_ties_are_a_limit(check):
    result = check(
        "def f(scores, labels):\n"
        "    'Ties keep the order of the rows.'\n"
        "    gains = [2**l - 1 for _, l in sorted(zip(scores, labels), key=lambda p: -p[0])]\n"
        "    best = dcg(sorted(gains, reverse=True))\n"
        "    return dcg(gains) / best if best else None"
    )
    assert result.failures == []
    assert result.answer().belief == CANNOT_TELL


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("def f(scores, labels): return ndcg(scores, labels) if any(labels) else 1.0", "counts 1.0000"),
        ("def f(scores, labels): return ndcg(scores, labels) or None", "depends on the ranking"),
        ("def f(scores, labels): return random.random()", "drawn at random"),
        (
            "def f(scores, labels): return ndcg([-s for s in scores], labels)",
            "better ranking must score more",
        ),
        ("def f(scores, labels): return 100 * (ndcg(scores, labels) or 0)", "per cent"),
        ("def f(scores, labels): return min(1, (ndcg(scores, labels) or 0) + 0.1)", "counts 0.1000"),
        (
            "def f(scores, labels):\n"
            "    gains = expected(scores, [2**l - 1 for l in labels])[:10]\n"
            "    return dcg(gains) / (dcg(sorted(gains, reverse=True)) or 1)",
            "from the first items shown",
        ),
        (
            "def f(scores, labels): return (ndcg(scores, labels) or 0) * (0.5 + min(scores) / 2 / max(scores))",
            "instead of 1",
        ),
    ],
)
def test_unsound_metrics_are_caught(check, function, said):
    result = check(function)
    assert said in " | ".join(result.failures)
    assert result.answer().belief == NOT_BELIEVED


def test_a_metric_for_labels_of_0_and_1_is_told_that_grades_break_it(check):
    result = check("def f(scores, labels): return sum(expected(scores, labels)[:10]) / 10")
    assert result.failures == []
    assert "only with labels of 0 and 1" in result.limits[0]


def test_compliance_sees_the_top_item_only(check):
    sound = check(
        "def f(scores, complies):\n"
        "    top = [c for s, c in zip(scores, complies) if s == max(scores)]\n"
        "    return sum(top) / len(top)"
    )
    assert (sound.kind, sound.failures, sound.answer().belief) == ("compliance", [], BELIEVED)
    plain = check("def f(scores, complies): return float(complies[scores.index(max(scores))])")
    assert (plain.failures, plain.answer().belief) == ([], CANNOT_TELL)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("def f(scores, complies): return max(scores)", "does not depend on whether the top item complies"),
        (
            "def f(scores, complies): return complies[scores.index(max(scores))] + 0.1",
            "breaks a constraint counts 0.1000",
        ),
        ("def f(scores, complies): return sum(complies) / len(complies)", "items below the top one"),
    ],
)
def test_compliance_made_of_scores_or_a_constant_is_caught(check, function, said):
    result = check(function)
    assert said in " | ".join(result.failures)


def test_a_gain_of_the_baseline_over_itself_is_exactly_0(check):
    sound = check(
        "def f(new, baseline, labels):\n"
        "    a, b = ndcg(new, labels), ndcg(baseline, labels)\n"
        "    return None if a is None else a - b"
    )
    assert (sound.kind, sound.failures) == ("gain", [])
    accuracy = check(
        "def f(scores, baseline, labels):\n"
        "    pairs = [(i, j) for i in range(30) for j in range(30) if labels[i] > labels[j]]\n"
        "    return 0.06 * sum(scores[i] > scores[j] for i, j in pairs) / len(pairs) if pairs else 0"
    )
    assert first(accuracy).startswith("the baseline against itself gives a gain of +0.0")


def test_candidates_are_given_as_the_persons_data_has_them(check):
    function = (
        "def f(candidates):\n"
        "    gains = [{TIERS}[c['tier']] for c in candidates]\n"
        "    best = dcg(sorted(gains, reverse=True))\n"
        "    return dcg(gains) / best if best else None"
    ).replace("{TIERS}", "dict(bad=0, low=1, mid=3, good=7)")
    keys = CandidateKeys(label="tier", grades=("bad", "low", "mid", "good"), complies="")
    result = check(function, keys=keys)
    assert result.failures == []
    assert result.facts["keys_read"] == "tier"
    assert "KeyError" in check(function).failures[0]


def test_a_key_that_the_data_lacks_is_named(check):
    result = check(
        "def f(candidates):\n"
        "    gains = [c.get('relevance_label', 0) for c in candidates]\n"
        "    best = dcg(sorted(gains, reverse=True))\n"
        "    return dcg(gains) / best if best else 0.0"
    )
    assert "it asks for relevance_label, which the data does not have" in first(result)


def test_a_candidates_own_score_as_gain_is_caught(check):
    result = check(
        "def f(candidates):\n"
        "    gains = [c['score'] for c in candidates[:10]]\n"
        "    return dcg(gains) / dcg(sorted(gains, reverse=True))"
    )
    assert "a random one included" in first(result)
    assert "it reads score of each candidate, never the label 'relevance'" in result.failures


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("def f(scores, labels): time.sleep(60)", "no answer within "),  # of what is left of two seconds
        ("import os\ndef f(scores, labels): os._exit(3)", "exit code 3"),
        ("import no_such_package\ndef f(scores, labels): return 0", "No module named 'no_such_package'"),
        ("def g(scores, labels): return 0", "has no 'f'; its functions: expected, dcg, ndcg, g"),
        ("def f(a, b, c, d): return 0", "takes 4 arguments"),
    ],
)
def test_what_cannot_be_run_is_said_and_not_judged(check, function, said):
    result = check(function, within_s=2)
    assert not result.ran
    assert said in result.failures[0]
    assert result.answer().belief == CANNOT_TELL


def test_a_function_that_stops_names_the_line(check):
    result = check("def f(scores, labels):\n    return 1 / 0")
    assert "ZeroDivisionError" in first(result)
    assert "(mine.py, line 22)" in first(result)


def test_what_the_function_prints_is_no_answer(check):
    result = check(
        "def f(scores, labels):\n    print('{\"values\": []}')\n    sys.stdout.flush()\n    return ndcg(scores, labels)"
    )
    assert result.failures == []


def test_the_persons_code_never_enters_this_process(check, tmp_path):
    mark = tmp_path / "pids"
    check(
        f"import os\nopen({str(mark)!r}, 'a').write(str(os.getpid()) + ' ')\ndef f(scores, labels): return 0.0"
    )
    import os

    assert mark.read_text().split()
    assert str(os.getpid()) not in mark.read_text().split()


@pytest.mark.parametrize("package", ["models", "verdict"])
def test_their_own_package_names_do_not_meet_ours(tmp_path, package):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / package / "scores.py").write_text(SOUND)
    assert check_metric(f"{package}.scores:ndcg", tmp_path).failures == []


def test_a_spec_without_a_function_says_how_to_write_one():
    result = check_metric("metrics.py", Path.cwd())
    assert "module:function" in result.failures[0]
