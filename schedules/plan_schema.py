"""The plan file's keys, for editors (JSON schema) and for people (Markdown), both from the models that check it."""

import ast
import inspect
import types
from collections.abc import Iterator, Mapping
from enum import EnumMeta
from itertools import pairwise
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nightshift.states import Metric
from schedules.plan import Criterion, Night, Plan, Stage

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TABLES: dict[type[BaseModel], str] = {
    Plan: "Top of the file",
    Night: "`[[night]]`",
    Stage: "`[[night.stage]]`",
    Criterion: "`[[night.criterion]]`",
}
WORDS = {
    "str": "text",
    "float": "number",
    "int": "whole number",
    "bool": "true or false",
    "time": 'wall time `"HH:MM"`',
}
HEAD = """# The plan file

TOML. `nightshift schema` prints the same as a JSON schema for editors; `nightshift plan FILE` checks a file and shows
its nights with dates. This page is written by `nightshift schema --markdown`.
"""


SettingsOf = Mapping[str, type[BaseModel]]
"""Module of a trainer -> the settings that it takes."""
SETTINGS = """## `[night.stage.settings]`

What a trainer of Nightshift's own takes, by the module in the stage's command; it refuses any other key. Other trainers
take what they like.
"""


def json_schema(settings: SettingsOf) -> dict[str, object]:
    """Return the JSON schema of a plan file, keys as they stand in the file; settings by the command's module."""
    whole = Plan.model_json_schema(by_alias=True)
    definitions = whole["$defs"]
    definitions["Stage"]["allOf"] = [
        {"if": _runs(module), "then": {"properties": {"settings": {"$ref": f"#/$defs/{kind.__name__}"}}}}
        for module, kind in settings.items()
    ]
    definitions |= {kind.__name__: kind.model_json_schema() for kind in settings.values()}
    return {"$schema": DIALECT} | whole | {"title": "Nightshift plan"}


def _runs(module: str) -> dict[str, object]:
    """Return the schema of a stage that runs this module, as `Stage.module` reads it from the command.

    `contains` is for editors that pass over `prefixItems`, which is newer.
    """
    begins = {
        "prefixItems": [{}, {"const": "-m"}, {"const": module}],
        "contains": {"const": module},
        "minItems": 3,
    }
    return {"properties": {"command": begins}, "required": ["command"]}


def markdown(settings: SettingsOf) -> str:
    """Return every key of the plan file: what it takes, what it means."""
    parts = [HEAD]
    for model, title in TABLES.items():
        parts += [f"## {title}", "", f"{model.__doc__}", "", *_table(model)]
    parts.append(SETTINGS)
    for module, kind in settings.items():
        parts += [f"### `{module}`", "", *_table(kind)]
    parts += ["## Metrics", "", *(f"- `{name}`: {meaning}" for name, meaning in _metrics()), ""]
    return "\n".join(parts)


def _metrics() -> Iterator[tuple[str, str]]:
    """Give each metric with the text below it in its source, which Python itself does not keep."""
    [body] = [one.body for one in ast.parse(inspect.getsource(Metric)).body if isinstance(one, ast.ClassDef)]
    for member, below in pairwise(body):
        if (
            isinstance(member, ast.Assign)
            and isinstance(below, ast.Expr)
            and isinstance(member.targets[0], ast.Name)
        ):
            yield str(Metric[member.targets[0].id]), " ".join(ast.literal_eval(below.value).split())


def _table(model: type[BaseModel]) -> list[str]:
    return ["| key | takes | default | meaning |", "|---|---|---|---|", *_rows(model), ""]


def _rows(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        meaning = " ".join((field.description or "").split())
        yield f"| `{field.alias or name}` | {_takes(field.annotation)} | {_default(field)} | {meaning} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**needed**"
    value = field.default
    if value is None or value in ((), {}, ""):
        return ""
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _takes(kind: object) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _takes(inner[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_takes(one) for one in inner if one is not type(None)))
    if origin is tuple:
        return f"list of {_takes(inner[0])}"
    if origin is list:
        return f"list of {_takes(inner[0])}"
    if origin is dict:
        return "table"
    if isinstance(kind, EnumMeta):
        return "a metric (below)"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return TABLES[kind]
    return WORDS[getattr(kind, "__name__", "str")]
