"""Night 2's ranker against LightGBM, XGBoost and CatBoost, each given the same time to be tuned in.

`python -m benchmarks.ltr_peers [--data DATA] [--seconds 60] [--seeds 3]`. Ours is the training stage
(bagged LightGBM, CatBoost and a listwise network, chosen on validation and out of fold), cut at its deadline.
Each peer is trained with its own defaults, then tuned by Optuna on validation until its time is over, early
stopping on validation; the best trial is kept. The test split is scored once per system and seed, at the end.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray

from benchmarks.record import keep
from benchmarks.trainers import data_at, finish, inputs_of, start
from models.data import load_letor, load_split
from models.dataset import DataSource
from models.metrics import mean_ndcg, ndcg_per_query
from models.ranker_data import Pools, RankingData, read_ranking_data
from models.ranker_features import FeatureSpace
from models.scorers import load_scorer
from models.stage_best import best_checkpoint
from models.train_ensemble import PLAIN_WORDS, plain_ranker
from nightshift.instant import boottime_s
from nightshift.rundir import StageDir
from nightshift.trainer import TrainerRun
from verdict.statistics import t_interval

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]
Predict = Callable[[Matrix], Floats]
ROUNDS, PATIENCE = 500, 50


@dataclass(frozen=True)
class Table:
    """One split as the libraries want it."""

    rows: Matrix
    labels: NDArray[np.int64]
    sizes: list[int]

    @classmethod
    def of(cls, matrices: Sequence[Matrix], relevance: Sequence[NDArray[np.int64]]) -> "Table":
        """Return the pools below one another."""
        return cls(np.concatenate(matrices), np.concatenate(relevance), [len(labels) for labels in relevance])

    def split(self, values: Floats) -> list[Floats]:
        """Return one array per pool."""
        return np.split(np.asarray(values, dtype=np.float64), np.cumsum(self.sizes)[:-1])


def lightgbm_trial(trial: optuna.Trial, train: Table, val: Table, seed: int) -> Predict:
    """Return LightGBM's LambdaMART with this trial's parameters; trial 0 has the library's own."""
    import lightgbm

    parameters = {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 4, 64, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 2, 100, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
        "lambda_l2": trial.suggest_float("lambda_l2", 1e-3, 10.0, log=True),
    }
    data = lightgbm.Dataset(train.rows, train.labels, group=train.sizes)
    booster = lightgbm.train(
        {"objective": "lambdarank", "metric": "ndcg", "eval_at": [10], "verbosity": -1, "seed": seed,
         "num_threads": 2, **parameters},
        data, num_boost_round=ROUNDS,
        valid_sets=[lightgbm.Dataset(val.rows, val.labels, group=val.sizes, reference=data)],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )  # fmt: skip
    return lambda rows: np.asarray(booster.predict(rows))


def xgboost_trial(trial: optuna.Trial, train: Table, val: Table, seed: int) -> Predict:
    """Return XGBoost's rank:ndcg with this trial's parameters."""
    import xgboost

    def matrix(table: Table) -> object:
        return xgboost.DMatrix(
            table.rows, table.labels, qid=np.repeat(np.arange(len(table.sizes)), table.sizes)
        )

    booster = xgboost.train(
        {
            "objective": "rank:ndcg", "eval_metric": "ndcg@10", "seed": seed, "nthread": 2,
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
            "max_depth": trial.suggest_int("max_depth", 3, 10),
            "min_child_weight": trial.suggest_float("min_child_weight", 0.1, 20.0, log=True),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.2, 1.0),
            "reg_lambda": trial.suggest_float("reg_lambda", 1e-3, 10.0, log=True),
        },
        matrix(train), num_boost_round=ROUNDS, evals=[(matrix(val), "val")],
        early_stopping_rounds=PATIENCE, verbose_eval=False,
    )  # fmt: skip
    best = (0, booster.best_iteration + 1)
    return lambda rows: np.asarray(booster.predict(xgboost.DMatrix(rows), iteration_range=best))


def catboost_trial(trial: optuna.Trial, train: Table, val: Table, seed: int) -> Predict:
    """Return CatBoost's YetiRank with this trial's parameters."""
    from catboost import CatBoost, Pool

    def pool(table: Table) -> object:
        return Pool(table.rows, table.labels, group_id=np.repeat(np.arange(len(table.sizes)), table.sizes))

    model = CatBoost(
        {
            "loss_function": "YetiRank", "eval_metric": "NDCG:top=10;type=Exp", "iterations": ROUNDS,
            "random_seed": seed, "thread_count": 2, "allow_writing_files": False, "verbose": False,
            "early_stopping_rounds": PATIENCE,
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
            "depth": trial.suggest_int("depth", 3, 8),
            "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 0.5, 20.0, log=True),
        }
    )  # fmt: skip
    model.fit(pool(train), eval_set=pool(val))
    return lambda rows: np.asarray(model.predict(rows))


PEERS: Mapping[str, tuple[Callable[[optuna.Trial, Table, Table, int], Predict], dict[str, float]]] = {
    "LightGBM": (
        lightgbm_trial,
        {
            "learning_rate": 0.1,
            "num_leaves": 31,
            "min_data_in_leaf": 20,
            "feature_fraction": 1.0,
            "lambda_l2": 1e-3,
        },
    ),
    "XGBoost": (
        xgboost_trial,
        {
            "learning_rate": 0.3,
            "max_depth": 6,
            "min_child_weight": 1.0,
            "colsample_bytree": 1.0,
            "reg_lambda": 1.0,
        },
    ),
    "CatBoost": (catboost_trial, {"learning_rate": 0.06, "depth": 6, "l2_leaf_reg": 3.0}),
}
"""Name -> a trial, and the library's own settings, tried first."""


@dataclass
class Search:
    """Optuna's search for one peer's best trial on validation."""

    name: str
    data: RankingData
    seed: int
    best: Predict | None = None
    best_value: float = -np.inf
    trials: int = field(default=0)

    def run(self, seconds: float) -> Predict:
        """Return the model of the best trial; no trial is begun that would not fit the time left."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        trial_of, defaults = PEERS[self.name]
        train = Table.of(self.data.train.matrices, self.data.train.relevance)
        val = Table.of(self.data.val.matrices, self.data.val.relevance)
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=self.seed))
        study.enqueue_trial(defaults)
        until_s, longest_s = boottime_s() + seconds, 0.0
        while self.best is None or boottime_s() + longest_s < until_s:
            begin = boottime_s()
            trial = study.ask()
            predict = trial_of(trial, train, val, self.seed)
            value = mean_ndcg(val.split(predict(val.rows)), self.data.val.relevance)
            study.tell(trial, value)
            if value > self.best_value:
                self.best, self.best_value = predict, value
            longest_s, self.trials = max(longest_s, boottime_s() - begin), self.trials + 1
        return self.best


def ranking_data(source: DataSource, folder: Path) -> RankingData:
    """Return train and validation, featurised as night 2 does."""
    inputs = {name: Path(path) for name, path in inputs_of(source).items()}
    return read_ranking_data(TrainerRun(StageDir(folder), 0, "", "cpu", None, None, None, None, inputs))


def test_pools(source: DataSource, space: FeatureSpace | None, width: int) -> Pools:
    """Return the test split in the same columns; opened here, once."""
    path = source.splits["test"]
    if space is None:
        found = load_letor(path, width)
        matrices = [query.features[:, :width] for query in found]
        return Pools(tuple(matrices), tuple(q.relevance for q in found), ())
    queries = load_split(path, source.images)
    return Pools(tuple(space.matrices(queries)), tuple(q.relevance() for q in queries), ())


def ours(source: DataSource, folder: Path, seed: int, seconds: float) -> Path:
    """Return the checkpoint that night 2's training stage chose within this time."""
    finish(start("models.train_ranker", folder, inputs_of(source), {}, within_s=seconds, seed=seed), folder)
    return best_checkpoint(folder)


def main() -> None:
    """Train, tune, score the test split, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    seeds = [11 + number for number in range(asked.seeds)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = data_at(asked.data, folder / "data")
        data = ranking_data(source, folder)
        models: dict[str, list[Predict]] = {"Nightshift": [], PLAIN_WORDS: []}
        trials: dict[str, list[int]] = {}
        for seed in seeds:
            scorer = load_scorer(ours(source, folder / str(seed), seed, asked.seconds))
            models["Nightshift"].append(lambda rows, s=scorer: s.score_matrices([rows])[0])
            plain = plain_ranker(data, seed)
            models[PLAIN_WORDS].append(lambda rows, r=plain: r.score_matrices([rows])[0])
            for peer in PEERS:
                search = Search(peer, data, seed)
                models.setdefault(f"{peer}, tuned", []).append(search.run(asked.seconds))
                trials.setdefault(f"{peer}, tuned", []).append(search.trials)
        test = test_pools(source, data.space, data.width)
    scores = {
        name: np.array([ndcg_per_query([p(m) for m in test.matrices], test.relevance) for p in each])
        for name, each in models.items()
    }
    _keep(source.name, scores, trials, asked.seconds, seeds)


def _keep(
    name: str, scores: dict[str, Floats], trials: dict[str, list[int]], within_s: float, seeds: Sequence[int]
) -> None:
    mine = scores["Nightshift"].mean(axis=0)
    usable = np.isfinite(mine)
    rows = []
    for system, each in scores.items():
        values = each.mean(axis=0)[usable]
        interval, apart = t_interval(values), t_interval(mine[usable] - values)
        rows.append(
            {
                "system": system,
                "nDCG@10": interval.mean,
                "95 %": f"[{interval.low:.4f}, {interval.high:.4f}]",
                "ours minus it": apart.mean,
                "95 % paired": f"[{apart.low:+.4f}, {apart.high:+.4f}]",
                "trials": "/".join(str(count) for count in trials.get(system, [])),
            }
        )
    best = max(rows[1:], key=lambda row: float(str(row["nDCG@10"])))
    ratio = float(str(rows[0]["nDCG@10"])) / float(str(best["nDCG@10"]))
    keep(
        "ltr_peers",
        f"nDCG@10 on the test split of {name}, n = {int(usable.sum())}, mean of seeds {', '.join(map(str, seeds))}, "
        f"{within_s:g} s each",
        rows,
        f"{ratio:.3f} times the nDCG@10 of {best['system']}, the best of the others; its paired interval is above",
        ("lightgbm", "xgboost", "catboost", "optuna"),
    )


if __name__ == "__main__":
    main()
