"""What should happen: Plan, Night, Stage, Criterion; frozen, and an unknown key is an error."""

import re
from datetime import time
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from nightshift.states import Metric

WALL_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
LOGIN = re.compile(r"://[^/@\s]*:[^/@\s]+@|https?://[^/@\s]+@")
"""A password in an address: behind a colon, or a token alone where the web would take it."""
Setting = bool | int | float | str | list[int] | list[float] | list[str]


def _wall_time(value: object) -> object:
    if isinstance(value, str) and (match := WALL_TIME.fullmatch(value)):
        return time(int(match[1]), int(match[2]))
    if isinstance(value, time):
        return value
    raise ValueError(f"{value!r} is not a wall time like '23:00'")


def _name(value: object) -> object:
    if isinstance(value, str) and NAME.fullmatch(value):
        return value
    raise ValueError(f"{value!r} is not a name: small letters, digits and '-', a letter first")


WallTime = Annotated[
    time,
    BeforeValidator(_wall_time),
    PlainSerializer(lambda wall: f"{wall:%H:%M}", str),
    WithJsonSchema({"type": "string", "pattern": f"^{WALL_TIME.pattern}$"}),
]
Name = Annotated[
    str, BeforeValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"})
]


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True
    )


class Criterion(_Frozen):
    """One question the morning must answer."""

    metric: Metric
    """What is measured; each night asks for a metric once."""
    required: bool = False
    """Whether missing it keeps the night from GO."""
    above: float | None = None
    """The value must be more than this. Exactly one of `above`, `below` and `kept_within` is given."""
    below: float | None = None
    """The value must be less than this."""
    kept_within: float | None = Field(None, gt=0)
    """Non-inferiority: may lose at most this much against V1.0."""
    target: float | None = None
    """What the person hopes for; printed, and the head-room must allow it."""
    path: Literal["vectors", "text"] = "vectors"
    """What a timed request covers (inference_ms): from the search's vectors and stored item features, or from
    its bare text, with whatever text encoder runs. The other figure is printed beside it."""

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        bounds = [self.above, self.below, self.kept_within]
        if sum(bound is not None for bound in bounds) != 1:
            raise ValueError(f"{self.metric}: give exactly one of above, below, kept_within")
        return self

    @property
    def asked(self) -> str:
        """What is asked, in a few signs: `> 0.03`."""
        if self.kept_within is not None:
            return f"loses at most {self.kept_within:g}"
        return f"> {self.above:g}" if self.above is not None else f"< {self.below:g}"


class Stage(_Frozen):
    """One piece of a night: a trainer's command between two wall times."""

    name: Name
    """Small letters, digits and `-`; the stage's folder in the run."""
    title: str = Field(min_length=1, max_length=60)
    """What people read."""
    start: WallTime
    """Planned begin, in the plan's time zone."""
    end: WallTime
    """Planned end; a wall time before the start lies on the next day."""
    command: tuple[str, ...] = Field(min_length=1)
    """Argument list, never a shell string; `{python}` is this environment's interpreter."""
    processes: int = Field(default=1, ge=1, le=64)
    """How many processes train together, started by torchrun: one per GPU of the night (`gpus`). The command must begin
    with `{python}`; of Nightshift's own trainers `models.train_fusion` can."""
    minimum_min: float = Field(5, ge=0)
    """With less than this left the stage is not started."""
    elastic: bool = False
    """The one stage that pays for whatever goes wrong, and gains what goes well."""
    may_overrun: bool = False
    """Work that cannot be cut short; its overrun is paid for by the elastic stage."""
    settings: dict[str, Setting] = {}
    """Figures for the trainer; Nightshift's own trainers refuse unknown ones."""

    @model_validator(mode="after")
    def _torchrun_starts_python(self) -> Self:
        if self.processes > 1 and (self.command[0] != "{python}" or len(self.command) < 2):
            raise ValueError(
                f"stage {self.name!r}: processes = {self.processes} needs a command that begins with {{python}}"
            )
        return self

    @property
    def module(self) -> str:
        """The Python module the command runs (`python -m MODULE`), or an empty text."""
        return self.command[2] if len(self.command) > 2 and self.command[1] == "-m" else ""


class Night(_Frozen):
    """One night: stages that fill the window, and what the morning asks."""

    name: Name
    """Small letters, digits and `-`; what commands call the night."""
    title: str = Field(min_length=1, max_length=60)
    """What people read."""
    judge: Literal["ranking", "candidates", "none"]
    """What the judge re-scores: a pool ranker, a candidate generator, or nothing it could load."""
    stages: tuple[Stage, ...] = Field(alias="stage", min_length=1)
    """What runs, in order; together they fill the window, and exactly one is elastic."""
    criteria: tuple[Criterion, ...] = Field(default=(), alias="criterion")
    """What the morning must answer."""
    claims: tuple[Literal["image", "text", "attributes"], ...] = ()
    """Modalities the night claims to use."""
    metric: str | None = None
    """The person's own metric, `module:function` or `file.py:function` beside the plan; checked at 23:00 and in
    the morning, never used for a finding."""

    @model_validator(mode="after")
    def _stages_are_whole(self) -> Self:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"two stages of night {self.name!r} share a name: {', '.join(names)}")
        if sum(stage.elastic for stage in self.stages) != 1:
            raise ValueError(f"night {self.name!r} needs exactly one stage with elastic = true")
        metrics = [criterion.metric for criterion in self.criteria]
        if len(set(metrics)) < len(metrics):
            raise ValueError(f"night {self.name!r} asks for one metric twice")
        return self


class Plan(_Frozen):
    """A campaign of nights."""

    schema_version: Literal[1] = Field(alias="schema")
    """Version of this format."""
    campaign: Name
    """What the nights belong to; small letters, digits and `-`."""
    timezone: str
    """A name like "Europe/Berlin", or "local" for the machine's zone."""
    starts: WallTime
    """When every night begins."""
    bedtime_check: WallTime
    """When a person is told how the night will go."""
    hands_over: WallTime
    """The deadline of every night."""
    wind_down_min: float = Field(gt=0, le=120)
    """Judge, hand-over and report; lies inside each night's last stage."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """The sealed list; the first is trained first."""
    anchor: str | None = None
    """Where the ledger's heads go, away from the run folder: `git:FOLDER` (a repository, pushed where it has a
    remote) or any folder that fsspec can write to. Without it a cut or rewritten ledger cannot be shown."""
    publish: str | None = None
    """Where each night's bundle goes after its hand-over: any folder that fsspec can write to (a mounted Drive, `s3://`,
    `gs://`). `nightshift fetch` takes it from there."""
    halt_if_cannot_answer: bool = False
    """Whether a night whose data cannot answer its question is halted at 23:00; it is only told otherwise."""
    gpus: int = Field(default=1, ge=1, le=16)
    """How many of the GPUs that are visible a night holds, and shows to its trainers."""
    baseline_changed: str | None = None
    """Why V1.0's scores are other ones than in an earlier night, where that is meant."""
    nights: tuple[Night, ...] = Field(alias="night", min_length=1)
    """The nights, in order."""

    @field_validator("anchor", "publish")
    @classmethod
    def _no_password_inside(cls, address: str | None) -> str | None:
        if address and LOGIN.search(address):
            raise ValueError(
                "an address with a password in it would be sealed and shown: put the password where its library looks "
                "for it (environment, credentials file), and leave it out here"
            )
        return address

    @model_validator(mode="after")
    def _nights_have_names(self) -> Self:
        names = [night.name for night in self.nights]
        if len(set(names)) < len(names):
            raise ValueError(f"two nights share a name: {', '.join(names)}")
        return self
