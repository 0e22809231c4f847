"""The plan's schema and page: true to the models, complete, and of use to an editor."""

import tomllib
from pathlib import Path

import jsonschema
import pytest

from models.settings import SETTINGS_OF, Settings, check_settings
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
        rows = {
            row[1].strip(" `"): row[-2].strip() for row in map(_cells, part.splitlines()) if len(row) == 6
        }
        assert [name for name in kind.model_fields if not rows.get(name)] == []


def test_no_class_of_settings_is_forgotten():
    assert set(Settings.__subclasses__()) == set(SETTINGS_OF.values())


@pytest.mark.parametrize("module", SETTINGS_OF)
def test_an_editor_refuses_an_unknown_setting_of_each_of_our_trainers(module):
    stage = _first_stage() | {"command": ["{python}", "-m", module]}
    jsonschema.validate(_plan_with(stage | {"settings": {}}), json_schema(SETTINGS_OF))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(_plan_with(stage | {"settings": {"typo": 1}}), json_schema(SETTINGS_OF))


@pytest.mark.parametrize(
    "command",
    [
        ["python", "mine.py", "--like", "models.train_fusion"],
        ["python", "mine.py", "models.train_fusion"],
        ["python", "-m", "mine", "models.train_fusion"],
        ["models.train_fusion"],
    ],
)
def test_whose_settings_they_are_is_what_a_night_reads_from_the_command(command):
    plan = _plan_with(_first_stage() | {"command": command, "settings": {"epoch": "mine"}})
    jsonschema.validate(plan, json_schema(SETTINGS_OF))
    assert check_settings(Plan.model_validate(plan).nights[0].stages[1].module, {"epoch": "mine"}) is None


def test_a_stage_without_a_command_is_told_that_and_nothing_else():
    stage = {key: value for key, value in _first_stage().items() if key != "command"}
    validator = jsonschema.Draft202012Validator(json_schema(SETTINGS_OF))
    [error] = validator.iter_errors(_plan_with(stage | {"settings": {"epochs": 3}}))
    assert "'command' is a required property" in error.message


def test_an_editor_knows_the_settings_of_our_trainers_and_leaves_others_alone():
    schema, plan = json_schema(SETTINGS_OF), tomllib.loads(BUILT_IN.read_text())
    train = plan["night"][0]["stage"][1]
    for wrong in ({"epochs": "many"}, {"parallel": "everything"}, {"epoch": 20}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(_with(plan, train | {"settings": wrong}), schema)
    jsonschema.validate(_with(plan, train | {"settings": {"parallel": "seeds"}}), schema)
    foreign = train | {"command": ["{python}", "train.py"], "settings": {"epoch": "mine"}}
    jsonschema.validate(_with(plan, foreign), schema)


def _cells(line):
    return line.split("|")


def _first_stage():
    return tomllib.loads(BUILT_IN.read_text())["night"][0]["stage"][1]


def _plan_with(stage):
    return _with(tomllib.loads(BUILT_IN.read_text()), stage)


def _with(plan, stage):
    first, *others = plan["night"]
    stages = [stage if one["name"] == stage["name"] else one for one in first["stage"]]
    return plan | {"night": [first | {"stage": stages}, *others]}
