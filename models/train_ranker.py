"""Trains the default ranker: LambdaMART members over folds of TRAIN, one checkpoint per fold.

    python -m models.train_ranker

Where `handoff.fusion` is among the inputs, that model's score is one more feature.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.metrics import mean_ndcg
from models.ranker import Parameters, Ranker, load_ranker, ranker_from, save_ranker
from models.ranker_boosting import DEFAULTS, Fold, Member, grow_member, split_folds
from models.ranker_data import RankingData, pair_margin_loss, read_ranking_data
from models.settings import RankerSettings, read_settings
from nightshift.checkpoint import read_state
from nightshift.instant import boottime_s
from nightshift.trainer import TrainerRun, open_run

CHUNK_ROUNDS = 10
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

    def save(self, step: int, ranker: Ranker, parameters: Parameters, **state: object) -> Path:
        """Return the checkpoint of this ranker, remembering how long it took."""
        begun = boottime_s()
        self.run.phase("checkpoint")
        path = self.run.save(
            step,
            lambda folder: save_ranker(ranker, parameters, folder),
            kind="ranker",
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


def selection_score(ranker: Ranker, data: RankingData) -> float:
    """Return the validation nDCG@10 of exactly this model."""
    return mean_ndcg(ranker.score_matrices(data.val.matrices), data.val.relevance)


def _report(run: TrainerRun, step: int, bag: Bag, ranker: Ranker) -> float:
    run.phase("evaluate")
    data, chosen, v1 = bag.data, selection_score(ranker, bag.data), bag.data.val.v1_ndcg_at_10
    unseen = bag.out_of_fold
    run.metrics(
        step,
        val_ndcg_at_10=chosen,
        val_ndcg_at_10_v1=v1,
        val_gain=chosen - v1,
        **({} if unseen is None else {"out_of_fold_ndcg_at_10": unseen}),
        loss=pair_margin_loss(ranker.score_matrices(data.train.matrices), data.train.relevance),
    )
    return chosen


def _grow(ending: Ending, fold: Fold, settings: RankerSettings) -> Member:
    run, total, before = ending.run, settings.folds * settings.rounds, fold.number * settings.rounds

    def watch(rounds: int, held_out_ndcg: float) -> bool:
        if rounds % CHUNK_ROUNDS == 0:
            done = before + rounds
            run.progress(done, samples=done, total=total, share=run.share(done, total))
            run.metrics(done, held_out_ndcg_at_10=held_out_ndcg)
        return ending.near()

    return grow_member(fold, DEFAULTS, settings.rounds, run.seed, watch)


def _resumed(run: TrainerRun, data: RankingData, folds: Sequence[Fold]) -> Bag:
    bag = Bag(data)
    if run.resume:
        ranker, _ = load_ranker(run.resume, run.device)
        whole = len(ranker.members) - bool(read_state(run.resume).get("cut"))
        for fold, member in zip(folds, ranker.members[:whole], strict=False):
            bag.add(fold, member.model_to_string())
    return bag


def train(run: TrainerRun, data: RankingData, settings: RankerSettings) -> str:
    """Return why training ended; every grown fold is in a checkpoint by then."""
    folds = split_folds(data.train.matrices, data.train.relevance, settings.folds, run.seed)
    ending, bag = Ending(run), _resumed(run, data, folds)
    for fold in folds[len(bag.texts) :]:
        member = _grow(ending, fold, settings)
        if member.cut and bag.texts:
            return "deadline"
        bag.add(fold, member.text)
        step, ranker = (fold.number + 1) * settings.rounds, bag.ranker
        chosen = _report(run, step, bag, ranker)
        ending.save(
            step,
            ranker,
            DEFAULTS,
            selection_score=chosen,
            out_of_fold_ndcg_at_10=bag.out_of_fold,
            folds=len(bag.texts),
            cut=member.cut,
        )
        if ending.near():
            return "done" if fold is folds[-1] and not member.cut else "deadline"
    run.progress(step := settings.folds * settings.rounds, samples=step, total=step, share=1.0)
    return "done"


def main() -> None:
    """Train under the contract; exit 0 also when cut at the deadline."""
    run = open_run()
    settings = read_settings(RankerSettings, run.inputs.get("settings"))
    run.phase("load")
    data = read_ranking_data(run)
    run.phase("train")
    run.finish(train(run, data, settings))


if __name__ == "__main__":
    main()
