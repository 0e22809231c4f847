import re

import pytest

from nightshift.states import Metric
from schedules.plan import Plan
from schedules.plan_source import BUILT_IN, PlanError, find_night, key_lines, read_plan

TEXT = BUILT_IN.read_text()


def refused(tmp_path, text):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(PlanError) as caught:
        read_plan(path)
    return str(caught.value)


def line_of(text, needle):
    return text[: text.index(needle)].count("\n") + 1


def test_the_built_in_plan_is_the_missions():
    plan = read_plan(BUILT_IN)
    assert [night.name for night in plan.nights] == ["fusion", "ltr", "candidates"]
    hours = {n.name: [(f"{s.start:%H:%M}", f"{s.end:%H:%M}") for s in n.stages] for n in plan.nights}
    assert hours == {
        "fusion": [("23:00", "23:30"), ("23:30", "05:30"), ("05:30", "07:00")],
        "ltr": [("23:00", "02:00"), ("02:00", "07:00")],
        "candidates": [("23:00", "01:00"), ("01:00", "07:00")],
    }
    settings = plan.nights[0].stages[1].settings
    assert (settings["epochs"], settings["learning_rate"], settings["margin"], settings["heads"]) == (
        20,
        1e-4,
        0.1,
        8,
    )
    asked = {c.metric: (c.asked, c.required) for c in plan.nights[0].criteria}
    assert asked[Metric.VALIDATION_NDCG] == ("> 0.03", True)
    assert asked[Metric.INFERENCE_MS] == ("< 2", True)
    assert asked[Metric.TRAINING_LOSS] == ("< 0.1", False)
    assert asked[Metric.GPU_UTILISATION_PCT] == ("> 80", False)


def test_a_plan_survives_its_own_seal():
    plan = read_plan(BUILT_IN)
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize(
    ("old", "new", "at", "says"),
    [
        ('elastic = true', 'elastik = true', 'elastik', "elastik: unknown key"),
        ('metric = "inference_ms"', 'metric = "speed"', 'metric = "speed"', "unknown metric 'speed'"),
        ('start = "23:30"', 'start = "23:40"', 'start = "23:40"', "what comes before ends at 23:30"),
        ('end = "05:30"', 'end = "25:30"', 'end = "25:30"', "'25:30' is not a wall time"),
        ('minimum_min = 60', 'minimum_min = 600', 'minimum_min = 600', "needs at least 600 min, but has 360 min"),
        ('hands_over = "07:00"', 'hands_over = "06:00"', 'end = "07:00"', "hand-over is at 06:00"),
        ('above = 0.03', 'above = 0.03\nbelow = 1', 'metric', "exactly one of above, below, kept_within"),
        ('seeds = [11, 12, 13]', 'seeds = []', 'seeds', "at least 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path, old, new, at, says):
    text = TEXT.replace(old, new, 1)
    message = refused(tmp_path, text)
    assert says in message
    line = int(re.search(r"plan\.toml:(\d+)", message)[1])
    assert abs(line - line_of(text, at)) <= 30
    if "unknown" in says or "wall time" in says:
        assert line == line_of(text, at)


def test_a_missing_time_zone_is_refused(tmp_path):
    message = refused(tmp_path, re.sub(r"timezone.*\n", "", TEXT))
    assert "timezone" in message
    assert "required" in message.lower()


def test_two_elastic_stages_are_refused(tmp_path):
    message = refused(tmp_path, TEXT.replace("may_overrun = true", "elastic = true"))
    assert "exactly one stage with elastic" in message


def test_broken_toml_and_missing_files_are_one_line(tmp_path):
    assert "not TOML" in refused(tmp_path, "x = [")
    with pytest.raises(PlanError, match="cannot be read"):
        read_plan(tmp_path / "absent.toml")


def test_an_unknown_night_names_those_there_are():
    with pytest.raises(PlanError, match="fusion, ltr, candidates"):
        find_night(read_plan(BUILT_IN), "fussion")


def test_key_lines_count_tables():
    lines = key_lines("a = 1\n[[n]]\nx = 1\n[[n.s]]\ny = 2\n[[n.s]]\ny = 3\n[[n]]\nx = 4\n")
    assert lines[("n", 0, "s", 1, "y")] == 7
    assert lines[("n", 1, "x")] == 9
