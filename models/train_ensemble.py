"""The ensembles of a ranker's night: for every sealed seed LightGBM, CatBoost and a network over the same folds.

Which kinds are summed is chosen with the first seed, on queries that their members did not see: the
largest sum within a standard error of the best. LightGBM with the library's own defaults is trained
beside them, on all of train, as what a user would pick instead.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import lightgbm
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.dataset import MAX_GRADE
from models.ensemble import TREES, WORDS, Ensemble
from models.ensemble_parts import (
    NETWORK,
    YETI,
    ListwiseNetworks,
    Part,
    YetiRank,
    train_network,
    train_yetirank,
)
from models.metrics import has_ranking, ndcg_per_query
from models.ranker import Parameters, Ranker, ranker_from
from models.ranker_boosting import DEFAULTS, Fold, grow_member, split_folds
from models.ranker_data import RankingData
from models.ranker_features import standardised
from models.settings import RankerSettings
from models.stage_best import CHOICE, best_by_design
from models.stage_best import write_choice as write_chosen
from nightshift.checkpoint import whole_checkpoints
from nightshift.instant import boottime_s
from nightshift.rundir import StageDir

Scores = NDArray[np.float64]
ENSEMBLE, PLAIN = "ensemble", "lightgbm-defaults"
PLAIN_WORDS = "LightGBM 4 as it comes: lambdarank, 100 rounds, rate 0.1, 31 leaves, all of train"
KINDS = (TREES, YETI, NETWORK)
TIMED, POOL = 100, 30


def plain_ranker(data: RankingData, seed: int) -> Ranker:
    """Return LightGBM's own defaults, trained on every training query."""
    taught = [at for at, labels in enumerate(data.train.relevance) if has_ranking(labels)]
    booster = lightgbm.train(
        {
            "objective": "lambdarank",
            "label_gain": [2**grade - 1 for grade in range(MAX_GRADE + 1)],
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 2,
            "verbosity": -1,
            "seed": seed,
        },
        lightgbm.Dataset(
            np.concatenate([data.train.matrices[at] for at in taught]),
            label=np.concatenate([data.train.relevance[at] for at in taught]),
            group=[len(data.train.relevance[at]) for at in taught],
        ),
    )
    return ranker_from([booster.model_to_string()], data.space, data.width)


@dataclass
class Growing:
    """One seed's members of every kind, and what each says of the queries it did not see."""

    data: RankingData
    folds: tuple[Fold, ...]
    seed: int
    rounds: int
    stop: Callable[[], bool]
    unseen: dict[str, dict[int, Scores]] = field(default_factory=dict)
    """Kind -> training query -> the scores of the member that left it out, standardised in the pool."""

    def trees(self, parameters: Parameters) -> Ranker | None:
        """Return LightGBM's bag, or None where time cut it."""
        texts = []
        for fold in self.folds:
            member = grow_member(fold, parameters, self.rounds, self.seed, lambda _r, _n: self.stop())
            if member.cut:
                return None
            texts.append(member.text)
        return ranker_from(texts, self.data.space, self.data.width)

    def part(self, kind: str) -> Part | None:
        """Return the members of one other kind, or None where time cut them."""
        members = []
        for fold in self.folds:
            rest = [at for other in self.folds if other is not fold for at in other.held_queries]
            seed = self.seed + fold.number
            if kind == YETI:
                grown: object = train_yetirank(
                    self.data.train, rest, fold.held_queries, self.rounds, seed, self.stop
                )
            else:
                grown = train_network(self.data.train, rest, fold.held_queries, seed, self.stop)
            if self.stop():
                return None
            members.append(grown)
        return YetiRank(members) if kind == YETI else ListwiseNetworks(members)  # type: ignore[arg-type]

    def note(self, kind: str, member_scores: Callable[[int, NDArray[np.float32]], Scores]) -> None:
        """Remember what this kind's members say of the queries that they did not see."""
        scores: dict[int, Scores] = {}
        for fold in self.folds:
            for at in fold.held_queries:
                raw = member_scores(fold.number, self.data.train.matrices[at])
                scores[at] = standardised(raw[:, None])[:, 0]
        self.unseen[kind] = scores


def unseen_ndcg(growing: Growing, val: Mapping[str, Sequence[Scores]], recipe: Sequence[str]) -> Scores:
    """Return nDCG@10 per query of a sum of kinds, on validation and, where it is clean, out of fold.

    `val` are each kind's scores of the validation pools, standardised.

    Out-of-fold scores are not clean where a column is an earlier model's score, which saw the labels.
    """
    data = growing.data
    pools = range(len(data.val.relevance))
    together = [np.sum([val[kind][at] for kind in recipe], axis=0) for at in pools]
    values = [ndcg_per_query(together, data.val.relevance)]
    if not (data.space and data.space.fusion):
        known = list(growing.unseen[recipe[0]])
        summed = [np.sum([growing.unseen[kind][at] for kind in recipe], axis=0) for at in known]
        values.append(ndcg_per_query(summed, [data.train.relevance[at] for at in known]))
    return np.concatenate(values)


def scoring_ms(ensemble: Ensemble, kind: str, matrices: Sequence[NDArray[np.float32]]) -> float:
    """Return the 95th percentile of scoring one pool of 30 with one kind, on one core."""
    rows = np.resize(np.concatenate(matrices), (TIMED * POOL, matrices[0].shape[1]))
    alone, taken_s = Ensemble(ensemble.trees, ensemble.parts, (kind,)), []
    with threadpool_limits(1):
        for pool in np.split(rows, TIMED):
            began_s = boottime_s()
            alone.score_matrices([pool])
            taken_s.append(boottime_s() - began_s)
    return 1000 * float(np.percentile(taken_s, 95))


def affordable(
    recipes: Sequence[tuple[str, ...]], ms: Mapping[str, float], within_ms: float
) -> list[tuple[str, ...]]:
    """Return the sums that leave a quarter of the time to the judge's harder measurement, else the fastest."""
    needed = {recipe: sum(ms[kind] for kind in recipe) for recipe in recipes}
    kept = [recipe for recipe in recipes if needed[recipe] <= 0.75 * within_ms]
    return kept or [min(recipes, key=lambda recipe: needed[recipe])]


def choose_recipe(
    growing: Growing, ensemble: Ensemble, within_ms: float
) -> tuple[tuple[str, ...], list[dict[str, object]]]:
    """Return the largest sum within a standard error of the best, of those fast enough, and the table of all."""
    kinds = [kind for kind in KINDS if kind in growing.unseen]
    recipes = [r for size in range(1, len(kinds) + 1) for r in combinations(kinds, size)]
    matrices = growing.data.val.matrices
    val = {k: Ensemble(ensemble.trees, ensemble.parts, (k,)).score_matrices(matrices) for k in kinds}
    values = {recipe: unseen_ndcg(growing, val, recipe) for recipe in recipes}
    means = {recipe: float(np.nanmean(each)) for recipe, each in values.items()}
    fast = affordable(recipes, {kind: scoring_ms(ensemble, kind, matrices) for kind in kinds}, within_ms)
    best = max(fast, key=lambda recipe: means[recipe])
    chosen = best
    for recipe in sorted(fast, key=lambda r: (len(r), means[r]), reverse=True):
        lost = values[best] - values[recipe]
        lost = lost[np.isfinite(lost)]
        if len(recipe) >= len(best) and lost.mean() <= lost.std(ddof=1) / np.sqrt(lost.size):
            chosen = recipe
            break
    table: list[dict[str, object]] = [
        {
            "design": "+".join(recipe),
            "words": " + ".join(WORDS[k] for k in recipe),
            "ndcg_at_10": means[recipe],
        }
        for recipe in recipes
    ]
    return chosen, table


def grow_ensemble(growing: Growing, trees: Ranker | None, kinds: Sequence[str]) -> Ensemble | None:
    """Return an ensemble of every kind asked for, or None where time cut one; `trees` may exist already."""
    trees = trees or growing.trees(DEFAULTS)
    if trees is None:
        return None
    bag = trees
    growing.note(TREES, lambda n, rows: np.asarray(bag.members[n].predict(rows), dtype=np.float64))
    parts = []
    for kind in (YETI, NETWORK):
        if kind in kinds:
            part = growing.part(kind)
            if part is None:
                return None
            growing.note(kind, part.member_scores)
            parts.append(part)
    return Ensemble(trees, tuple(parts), tuple(kinds))


def write_choice(stage: StageDir, design: str, recipe: Sequence[str], table: object, why: str) -> None:
    """Write what was chosen on unseen training and validation queries, and what it is compared with."""
    document = {
        "design": design,
        "words": " + ".join(WORDS[kind] for kind in recipe),
        "recipe": list(recipe),
        "why": why,
        "reference": PLAIN,
        "reference_words": PLAIN_WORDS,
        "ablation": table,
    }
    write_chosen(stage.out, document)


def known_recipe(stage: StageDir) -> tuple[tuple[str, ...], object] | None:
    """Return the recipe and table that an attempt before this one has chosen, or None."""
    try:
        document = json.loads((stage.out / CHOICE).read_text())
        return tuple(document["recipe"]), document["ablation"]
    except (OSError, ValueError, KeyError):
        return None


def ensemble_seeds(stage: StageDir) -> set[int]:
    """Return the seeds whose ensemble is on disk."""
    best = best_by_design(whole_checkpoints(stage.checkpoints))
    return {seed for design, seed in best if design == ENSEMBLE}


def folds_of(data: RankingData, settings: RankerSettings, seed: int) -> tuple[Fold, ...]:
    """Return this seed's folds of the training queries."""
    return split_folds(data.train.matrices, data.train.relevance, settings.folds, seed)
