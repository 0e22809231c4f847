"""Growing LambdaMART members, one per fold of the training queries, each stopped on its held-out fold."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import lightgbm
import numpy as np
from lightgbm.callback import CallbackEnv, EarlyStopException
from numpy.typing import NDArray

from models.dataset import MAX_GRADE, DataError
from models.metrics import has_ranking
from models.ranker import Parameters

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
Watch = Callable[[int, float], bool]
"""Told (round, held-out nDCG@10) after every round; true ends the boosting."""

DEFAULTS: Parameters = {
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "lambda_l2": 0.01,
    "lambdarank_truncation_level": 30,
}
PATIENCE = 50
THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))


@dataclass(frozen=True)
class Fold:
    """One split of the training queries."""

    number: int
    rest: lightgbm.Dataset
    held: lightgbm.Dataset
    held_queries: tuple[int, ...]
    """Positions of the held-out queries among all training queries."""


@dataclass(frozen=True)
class Member:
    """One grown model."""

    text: str
    rounds: int
    held_out_ndcg_at_10: float
    cut: bool
    """Ended by the watch, not by its own stopping rule."""


@dataclass(eq=False)
class _Stopping:
    watch: Watch
    best: float = -np.inf
    best_round: int = 0
    cut: bool = field(default=False)

    def __call__(self, env: CallbackEnv) -> None:
        value = float(env.evaluation_result_list[0][2])
        if value > self.best:
            self.best, self.best_round = value, env.iteration
        self.cut = self.watch(env.iteration + 1, value)
        if self.cut or env.iteration - self.best_round >= PATIENCE:
            raise EarlyStopException(self.best_round, env.evaluation_result_list)


def _dataset(
    matrices: Sequence[Floats], relevance: Sequence[Labels], chosen: Sequence[int]
) -> lightgbm.Dataset:
    return lightgbm.Dataset(
        np.concatenate([matrices[at] for at in chosen]),
        label=np.concatenate([relevance[at] for at in chosen]),
        group=[len(relevance[at]) for at in chosen],
        params={"verbosity": -1, "feature_pre_filter": False, "num_threads": THREADS},
    )


def split_folds(
    matrices: Sequence[Floats], relevance: Sequence[Labels], folds: int, seed: int
) -> tuple[Fold, ...]:
    """Return seeded folds over the training queries that tell good from bad.

    Raises DataError where fewer than two such queries exist.
    """
    taught = [at for at, labels in enumerate(relevance) if has_ranking(labels)]
    if len(taught) < 2:
        raise DataError(
            f"train: {len(taught)} of {len(relevance)} queries have items of different relevance; "
            "two or more are needed: check the labels"
        )
    order = np.random.default_rng(seed).permutation(taught)
    number = max(2, min(folds, len(taught)))
    held = [tuple(sorted(int(at) for at in order[fold::number])) for fold in range(number)]
    return tuple(_fold(matrices, relevance, taught, fold, held[fold]) for fold in range(number))


def _fold(
    matrices: Sequence[Floats],
    relevance: Sequence[Labels],
    taught: Sequence[int],
    number: int,
    held: tuple[int, ...],
) -> Fold:
    rest = _dataset(matrices, relevance, [at for at in taught if at not in set(held)])
    return Fold(number, rest, _dataset(matrices, relevance, held).set_reference(rest), held)


def grow_member(fold: Fold, parameters: Parameters, rounds: int, seed: int, watch: Watch) -> Member:
    """Return the member of this fold at its best round; deterministic for a seed unless it is cut."""
    stopping = _Stopping(watch)
    booster = lightgbm.train(
        {
            **parameters,
            "objective": "lambdarank",
            "label_gain": [2**grade - 1 for grade in range(MAX_GRADE + 1)],
            "metric": "ndcg",
            "eval_at": [10],
            "bagging_freq": 1,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": THREADS,
            "verbosity": -1,
            "seed": seed + fold.number,
        },
        fold.rest,
        num_boost_round=rounds,
        valid_sets=[fold.held],
        callbacks=[stopping],
    )
    kept = stopping.best_round + 1
    return Member(booster.model_to_string(num_iteration=kept), kept, stopping.best, stopping.cut)
