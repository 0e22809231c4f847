"""The figures a stage of the plan may set, one class per trainer, checked when the plan is read."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nightshift.states import NightError

STUDY_URL = "NIGHT_STUDY"
"""Environment variable with the address of a shared study's database: `postgresql+psycopg://user:password@host/name`."""
STUDY_NAME = "NIGHT_STUDY_NAME"
"""Environment variable with the name that all workers of one study share."""
S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PrepareSettings(Settings):
    """`models.prepare`."""

    free_disk_gb: float = 2.0
    """Free space in GB below which the night is refused before it trains."""


class FusionSettings(Settings):
    """`models.train_fusion`: the mission's figures are the defaults."""

    epochs: int = 20
    """Passes over the training queries, at most: the deadline is a wall."""
    evaluate_every: int = 2
    """Epochs between two validations, each with a checkpoint."""
    learning_rate: float = 1e-4
    """AdamW's, at the beginning; the layers through which the search acts learn at ten times of it."""
    margin: float = 0.1
    """Score by which a better item is to lead a worse one, in the margin ranking loss."""
    heads: int = 8
    """Heads of the attention over the three tokens; `width` must be a multiple of it."""
    width: int = 512
    """Columns of a token."""
    hidden: int = 256
    """Columns of the ranking head's hidden layer."""
    queries_per_batch: int = 8
    """Queries, each with its whole pool, per optimiser step."""
    image_network: bool = True
    """Whether a CNN is trained for pictures where pretrained weights are not at hand."""
    designs: tuple[Literal["fusion", "leaner", "late", "attention", "longer"], ...] = (
        "fusion",
        "leaner",
        "late",
        "attention",
        "longer",
    )
    """What is trained, and what is chosen from: the others are what the fusion ranker is compared with; `longer`
    is trained in a night's spare time only."""
    one_seed: bool = False
    """Train the first seed of the sealed list only."""
    parallel: Literal["data", "seeds"] = "data"
    """What several processes do (`processes = 2`): cut every batch of one network, or train a seed or design each."""
    vision_encoder: str = "openai/clip-vit-base-patch32"
    """Frozen; where its weights are not at hand, hand-made features and a CNN of the night take its place."""
    text_encoder: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Frozen; where its weights are not at hand, or would take too long, hashed TF-IDF takes its place."""


class EvaluateSettings(Settings):
    """`models.evaluate_fusion`."""

    worst: int = 10
    """How many of the queries with the lowest nDCG@10 are listed."""


class RankerSettings(Settings):
    """`models.train_ranker`."""

    rounds: int = 300
    """Trees of one boosted ranker, at most."""
    folds: int = 5
    """Parts of the training queries; each is scored by rankers that did not see it."""
    ensemble: bool = True
    """Whether CatBoost and a listwise network join LightGBM, for every sealed seed."""
    within_ms: float = 2.0
    """What scoring 30 candidates may take on one core; slower sums are not chosen."""


class TuneSettings(Settings):
    """`models.tune_ranker`."""

    trials: int = 200
    """Sets of parameters that are tried, at most."""
    rounds: int = 600
    """Trees of one boosted ranker, at most."""
    folds: int = 5
    """Parts of the training queries; each is scored by rankers that did not see it."""
    patience: int = 40
    """Trials in a row without an improvement after which tuning ends and gives its time back."""


class CandidateSettings(Settings):
    """`models.train_candidates`."""

    width: int = 256
    """Columns of an item's and a search's vector, of the static encoder."""
    epochs: int = 12
    """Passes over the training pairs, at most."""
    learning_rate: float = 0.05
    """Learning rate of the static encoder, at the beginning."""
    batch: int = 256
    """Pairs per step, of the static encoder."""
    hard_negatives: bool = True
    """Whether every pair has a negative from its own pool, besides the other items of the batch."""
    encoder: Literal["auto", "static", "transformer"] = "auto"
    """auto: a pretrained transformer is tuned on a GPU, a static encoder is trained on a CPU."""
    text_encoder: str = "sentence-transformers/all-MiniLM-L6-v2"
    """The transformer that is tuned."""
    transformer_learning_rate: float = 2e-5
    """AdamW's, of the transformer, at the beginning."""
    transformer_batch: int = 64
    """Pairs per step, of the transformer."""


class PoolSettings(Settings):
    """`models.measure_pool`."""

    pools: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Sizes in items; a pool larger than the data is filled up with copies of its items, noise added."""
    recall_target: float = 0.95
    """Share of the exact search's first 100 that an index must find to be chosen."""
    queries: int = 200
    """Searches that each index is measured with."""
    shards: int = Field(default=1, ge=1, le=1000)
    """Parts of a pool of half a million or more for exact search, the truth of every index: each is a Prefect task."""
    task_runner: Literal["threads", "dask", "ray"] = "threads"
    """What runs those tasks; `prefect-dask` or `prefect-ray` must be installed for its runner."""
    cluster: str = ""
    """Address of the Dask scheduler or Ray head; without it a cluster of this machine lives as long as it is needed."""


SETTINGS_OF: dict[str, type[Settings]] = {
    "models.prepare": PrepareSettings,
    "models.train_fusion": FusionSettings,
    "models.evaluate_fusion": EvaluateSettings,
    "models.train_ranker": RankerSettings,
    "models.tune_ranker": TuneSettings,
    "models.train_candidates": CandidateSettings,
    "models.measure_pool": PoolSettings,
}
"""Module of a trainer -> the settings it takes."""


TOGETHER = ("models.train_fusion",)
"""Trainers of ours that several processes can run together."""


def check_settings(module: str, values: dict[str, Any], processes: int = 1) -> str | None:
    """Return what is wrong with these settings for this trainer, or None; foreign trainers take anything."""
    if module not in SETTINGS_OF:
        return None
    if processes > 1 and module not in TOGETHER:
        return f"processes = {processes}: {module} is one process; {', '.join(TOGETHER)} can be several"
    try:
        SETTINGS_OF[module].model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        return f"settings: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    if values.get("parallel") == "seeds" and processes == 1:
        return "settings: parallel = 'seeds': one process trains one seed after another; set processes = 2 or more"
    runner = values.get("task_runner", "threads")
    if runner != "threads" and find_spec(f"prefect_{runner}") is None:
        return f"settings: task_runner = {runner!r} needs a package that is not there: pip install prefect-{runner}"
    return None


def read_settings(kind: type[S], path: Path | None) -> S:
    """Return the settings in this JSON file, or the defaults where there is none.

    Raises NightError with the key that does not fit.
    """
    if path is None:
        return kind()
    try:
        return kind.model_validate(json.loads(path.read_text()))
    except (ValidationError, ValueError) as error:
        raise NightError(f"{path}: {error}") from error
