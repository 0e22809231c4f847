"""The plan's schema and page: true to the models, complete, and of use to an editor."""

import tomllib
from pathlib import Path

import jsonschema
import pytest

from nightshift.states import Metric
from schedules.plan import Criterion, Night, Plan, Stage
from schedules.plan_schema import json_schema, markdown
from schedules.plan_source import BUILT_IN

PAGE = Path(__file__).parents[2] / "docs" / "plan.md"


def test_the_page_is_what_the_models_say():
    assert PAGE.read_text() == markdown(), "write it again: nightshift schema --markdown > docs/plan.md"


@pytest.mark.parametrize("model", [Plan, Night, Stage, Criterion])
def test_every_key_has_a_meaning(model):
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_every_metric_is_on_the_page():
    assert [metric for metric in Metric if f"- `{metric}`: " not in markdown()] == []


def test_an_editor_accepts_the_built_in_plan_and_refuses_what_is_wrong():
    plan = tomllib.loads(BUILT_IN.read_text())
    jsonschema.validate(plan, json_schema())
    for wrong in ({"starts": "25:00"}, {"typo": 1}, {"seeds": []}, {"gpus": 0}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(plan | wrong, json_schema())
