"""What a ranker learns from and is chosen on: feature matrices, labels and V1 scores of train and val."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.dataset import DataError, FeatureQuery, Query
from models.metrics import has_ranking, mean_ndcg
from models.ranker import fitted_to
from models.ranker_features import FeatureSpace, fit_features
from models.ranker_fusion import earlier_fusion
from nightshift.trainer import TrainerRun

Floats = NDArray[np.float32]
Scores = NDArray[np.float64]
Labels = NDArray[np.int64]
Item = TypeVar("Item")
MARGIN = 0.1
"""The mission's MarginRankingLoss margin."""


@dataclass(frozen=True)
class Pools:
    """The pools of one split, position by position."""

    matrices: tuple[Floats, ...]
    relevance: tuple[Labels, ...]
    v1: tuple[Scores, ...]

    @property
    def v1_ndcg_at_10(self) -> float:
        """Return the mean nDCG@10 of the V1 order."""
        return mean_ndcg(self.v1, self.relevance)


@dataclass(frozen=True)
class RankingData:
    """Train and val, featurised alike."""

    train: Pools
    val: Pools
    space: FeatureSpace | None
    """The fitted columns, or None for feature files."""
    val_ids: tuple[str, ...] = ()
    """Names of the validation queries, position by position."""

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return int(self.train.matrices[0].shape[1])


def from_searches(
    train: Sequence[Query], val: Sequence[Query], space: FeatureSpace, fitted: Sequence[Floats]
) -> RankingData:
    """Return the data of queries with text; `fitted` are the training matrices."""

    def pools(queries: Sequence[Query], matrices: Sequence[Floats]) -> Pools:
        relevance = tuple(query.relevance() for query in queries)
        return Pools(tuple(matrices), relevance, tuple(query.scores_v1() for query in queries))

    ids = tuple(query.id for query in val)
    return RankingData(pools(train, fitted), pools(val, space.matrices(val)), space, ids)


def from_files(
    train: Sequence[FeatureQuery], val: Sequence[FeatureQuery], v1_column: int, v1_sign: int
) -> RankingData:
    """Return the data of feature files; V1 is one column of theirs, ascending where the sign is -1."""

    def pools(queries: Sequence[FeatureQuery]) -> Pools:
        matrices = tuple(fitted_to(query.features, train[0].features.shape[1]) for query in queries)
        v1 = tuple(v1_sign * matrix[:, v1_column].astype(np.float64) for matrix in matrices)
        return Pools(matrices, tuple(query.relevance for query in queries), v1)

    return RankingData(pools(train), pools(val), None, tuple(query.id for query in val))


def pair_margin_loss(scores: Sequence[Scores], relevance: Sequence[Labels]) -> float:
    """Return the mean of max(0, MARGIN - (s_better - s_worse)) over all pairs, NaN where there is none."""
    losses = [
        np.maximum(0.0, MARGIN - (values[:, None] - values[None, :])[labels[:, None] > labels[None, :]])
        for values, labels in zip(scores, relevance, strict=True)
    ]
    every = np.concatenate(losses)
    return float(every.mean()) if every.size else float("nan")


def read_ranking_data(run: TrainerRun) -> RankingData:
    """Return the featurised train and val of this run's inputs.

    Raises DataError where an input is missing, train is empty, or val cannot choose between models.
    """
    for name in ("train", "val"):
        if name not in run.inputs:
            raise DataError(
                f"inputs: no {name!r} among {', '.join(run.inputs) or 'none'}; name its split file"
            )
    data = _read_searches(run) if run.inputs["train"].suffix == ".jsonl" else _read_files(run)
    if not any(has_ranking(labels) for labels in data.val.relevance):
        path = run.inputs["val"]
        raise DataError(f"{path}: no query has items of different relevance; nothing can be chosen on it")
    return data


def _read_searches(run: TrainerRun) -> RankingData:
    from models.data import load_split

    images = run.inputs.get("images")
    train, val = (load_split(run.inputs[name], images) for name in ("train", "val"))
    space, fitted = fit_features(_some(run, train), earlier_fusion(run.inputs, run.device))
    return from_searches(train, val, space, fitted)


def _read_files(run: TrainerRun) -> RankingData:
    from models.data import letor_v1, load_letor

    train = _some(run, load_letor(run.inputs["train"]))
    val = load_letor(run.inputs["val"], train[0].features.shape[1])
    return from_files(train, val, *letor_v1(train))


def _some(run: TrainerRun, queries: list[Item]) -> list[Item]:
    if not queries:
        raise DataError(f"{run.inputs['train']}: no query; nothing can be learned from it")
    return queries
