"""A bag of rankers on its way: members so far, what they score, and how long saving them takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.ensemble import Ensemble, save_ensemble
from models.metrics import mean_ndcg
from models.ranker import Parameters, Ranker, ranker_from, save_ranker
from models.ranker_boosting import Fold, grow_member
from models.ranker_data import RankingData
from nightshift.instant import boottime_s
from nightshift.trainer import TrainerRun

RESERVE_S = 0.3
"""Real seconds kept for the ending, besides what saving took so far."""


@dataclass
class Ending:
    """How long the last checkpoint takes, so that boosting stops in time for it."""

    run: TrainerRun
    saving_s: float = 0.0

    @property
    def reserve_s(self) -> float:
        """Return the real seconds to keep for the ending."""
        return RESERVE_S + 2 * self.saving_s

    def near(self) -> bool:
        """Return whether to stop boosting and finish."""
        return self.run.should_stop(self.reserve_s)

    def save(self, step: int, ranker: Ranker | Ensemble, parameters: Parameters, **state: object) -> Path:
        """Return the checkpoint of this ranker, remembering how long it took."""
        begun = boottime_s()
        self.run.phase("checkpoint")

        def write(folder: Path) -> None:
            if isinstance(ranker, Ensemble):
                save_ensemble(ranker, parameters, folder)
            else:
                save_ranker(ranker, parameters, folder)

        path = self.run.save(
            step,
            write,
            kind="ensemble" if isinstance(ranker, Ensemble) else "ranker",
            encoders=dict(ranker.encoders),
            modalities=list(ranker.modalities),
            **state,
        )
        self.saving_s = max(self.saving_s, boottime_s() - begun)
        self.run.phase("train")
        return path


@dataclass
class Bag:
    """Members so far, and what they say of the queries that each did not see."""

    data: RankingData
    texts: list[str] = field(default_factory=list)
    held_scores: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    def add(self, fold: Fold, text: str) -> None:
        """Take a member in, and score its held-out queries."""
        self.texts.append(text)
        alone = ranker_from([text], self.data.space, self.data.width)
        held = alone.score_matrices([self.data.train.matrices[at] for at in fold.held_queries])
        self.held_scores.update(zip(fold.held_queries, held, strict=True))

    @property
    def ranker(self) -> Ranker:
        """Return the bag as a scorer."""
        return ranker_from(self.texts, self.data.space, self.data.width)

    @property
    def out_of_fold(self) -> float | None:
        """Return the mean nDCG@10 of training queries, each scored by the member that left it out.

        None where a column is the score of an earlier model, which may have seen their labels.
        """
        if self.data.space and self.data.space.fusion:
            return None
        relevance = [self.data.train.relevance[at] for at in self.held_scores]
        return mean_ndcg(list(self.held_scores.values()), relevance)


def grow_bag(
    data: RankingData,
    folds: Sequence[Fold],
    parameters: Parameters,
    rounds: int,
    seed: int,
    stop: Callable[[], bool],
    keep_first: bool = False,
) -> Bag | None:
    """Return the whole bag, or None where `stop` cut it.

    With `keep_first` whatever was grown is kept, one member at least.
    """
    bag = Bag(data)
    for fold in folds:
        member = grow_member(fold, parameters, rounds, seed, lambda _rounds, _ndcg: stop())
        if member.cut and not (keep_first and not bag.texts):
            return bag if keep_first else None
        bag.add(fold, member.text)
    return bag


def selection_score(ranker: Ranker | Ensemble, data: RankingData) -> float:
    """Return the validation nDCG@10 of exactly this model."""
    return mean_ndcg(ranker.score_matrices(data.val.matrices), data.val.relevance)
