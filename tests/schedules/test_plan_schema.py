"""The plan's schema and page: true to the models, complete, and of use to an editor."""

import tomllib
from pathlib import Path

import jsonschema
import pytest

from models.settings import SETTINGS_OF
from nightshift.states import Metric
from schedules.plan import Criterion, Night, Plan, Stage
from schedules.plan_schema import json_schema, markdown
from schedules.plan_source import BUILT_IN

PAGE = Path(__file__).parents[2] / "docs" / "plan.md"


def test_the_page_is_what_the_models_say():
    assert PAGE.read_text() == markdown(SETTINGS_OF), (
        "write it again: nightshift schema --markdown > docs/plan.md"
    )


@pytest.mark.parametrize("model", [Plan, Night, Stage, Criterion, *SETTINGS_OF.values()])
def test_every_key_has_a_meaning(model):
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_every_metric_is_on_the_page():
    assert [metric for metric in Metric if f"- `{metric}`: " not in markdown(SETTINGS_OF)] == []


def test_an_editor_accepts_the_built_in_plan_and_refuses_what_is_wrong():
    plan = tomllib.loads(BUILT_IN.read_text())
    schema = json_schema(SETTINGS_OF)
    jsonschema.validate(plan, schema)
    for wrong in ({"starts": "25:00"}, {"typo": 1}, {"seeds": []}, {"gpus": 0}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(plan | wrong, schema)


def test_every_setting_of_every_trainer_is_on_the_page():
    page = markdown(SETTINGS_OF)
    for module, kind in SETTINGS_OF.items():
        part = page.split(f"### `{module}`")[1].split("\n##")[0]
        assert [name for name in kind.model_fields if f"| `{name}` | " not in part] == []


def test_an_editor_knows_the_settings_of_our_trainers_and_leaves_others_alone():
    schema, plan = json_schema(SETTINGS_OF), tomllib.loads(BUILT_IN.read_text())
    train = plan["night"][0]["stage"][1]
    for wrong in ({"epochs": "many"}, {"parallel": "everything"}, {"epoch": 20}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(_with(plan, train | {"settings": wrong}), schema)
    jsonschema.validate(_with(plan, train | {"settings": {"parallel": "seeds"}}), schema)
    foreign = train | {"command": ["{python}", "train.py"], "settings": {"epoch": "mine"}}
    jsonschema.validate(_with(plan, foreign), schema)


def _with(plan, stage):
    first, *others = plan["night"]
    stages = [stage if one["name"] == stage["name"] else one for one in first["stage"]]
    return plan | {"night": [first | {"stage": stages}, *others]}
