import numpy as np
import pytest

from models.dataset import FeatureQuery
from models.ensemble import TREES, Ensemble, load_ensemble
from models.ensemble_parts import NETWORK, YETI, ListwiseNetworks, train_network
from models.metrics import mean_ndcg, ndcg_per_query
from models.ranker_bag import Ending, selection_score
from models.ranker_boosting import DEFAULTS, split_folds
from models.ranker_data import from_files
from models.ranker_features import standardised
from models.scorers import Request, load_scorer
from models.settings import RankerSettings, TuneSettings
from models.stage_best import best_by_design, best_checkpoint
from models.train_ensemble import ENSEMBLE, PLAIN, Growing, affordable, choose_recipe, grow_ensemble
from models.train_ranker import save_plain, train, train_ensembles
from models.tune_ranker import EARLIER_STAGE, TUNED, Tuning, tune, tuned_ensembles
from models.tuning import TrialLog
from nightshift.checkpoint import read_state, whole_checkpoints
from nightshift.rundir import StageDir
from nightshift.trainer import TrainerRun

SETTINGS = RankerSettings(rounds=20, folds=3, within_ms=1e6)
"""Which sum is chosen must not depend on how busy the machine is, so none is too slow."""


def letor(queries=40, seed=0, missing=False):
    rng = np.random.default_rng(seed)
    made = []
    for number in range(queries):
        features = rng.normal(size=(15, 6)).astype(np.float32)
        truth = features[:, 1:4].sum(axis=1) + rng.normal(scale=0.5, size=15)
        if missing:
            features[rng.random(features.shape) < 0.1] = np.nan
        made.append(FeatureQuery(str(number), features, np.clip(truth.round(), 0, 4).astype(np.int64)))
    return made


DATA = from_files(letor(), letor(12, seed=1), 1, 1)


def never():
    return False


def trainer(folder, inputs=None):
    stage = StageDir(folder)
    stage.out.mkdir(parents=True, exist_ok=True)
    return TrainerRun(stage, 5, "n", "cpu", None, None, None, None, inputs or {}, seeds=(5, 6))


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    run = trainer(tmp_path_factory.mktemp("train"))
    save_plain(run, DATA)
    bag = train(run, DATA, SETTINGS)
    train_ensembles(run, DATA, SETTINGS, bag)
    return run


def test_every_seed_leaves_an_ensemble_that_scores_what_was_said(stage):
    best = best_by_design(whole_checkpoints(stage.folder.checkpoints))
    assert {seed for design, seed in best if design == ENSEMBLE} == {5, 6}
    assert (PLAIN, 5) in best
    for seed in (5, 6):
        path = best[ENSEMBLE, seed]
        ensemble, parameters = load_ensemble(path)
        assert read_state(path)["selection_score"] == selection_score(ensemble, DATA)
        assert parameters == DEFAULTS
    assert read_state(best_checkpoint(stage.folder.path))["design"] == ENSEMBLE


def test_a_reloaded_ensemble_is_the_sum_of_its_standardised_kinds(stage):
    path = best_by_design(whole_checkpoints(stage.folder.checkpoints))[ENSEMBLE, 5]
    whole, _ = load_ensemble(path)
    everything = Ensemble(whole.trees, whole.parts, (TREES, YETI, NETWORK))
    pool = DATA.val.matrices[0]
    expected = standardised(whole.trees.score_matrices([pool])[0][:, None])[:, 0]
    for part in whole.parts:
        expected = expected + standardised(part.scores(pool)[:, None])[:, 0]
    assert everything.score(Request({"features": pool})) == pytest.approx(expected)
    one, many = load_scorer(path).score_matrices([pool]), load_scorer(path).score_matrices(DATA.val.matrices)
    assert one[0] == pytest.approx(many[0])


def test_a_kind_that_ranks_nothing_is_left_out_of_the_sum():
    growing = Growing(DATA, split_folds(DATA.train.matrices, DATA.train.relevance, 3, 5), 5, 20, never)
    ensemble = grow_ensemble(growing, None, (TREES, NETWORK))
    rng = np.random.default_rng(0)
    growing.unseen[NETWORK] = {at: 9 * rng.normal(size=15) for at in growing.unseen[NETWORK]}
    noise = [{k: 0 * v if k == "last.weight" else v for k, v in m.items()} for m in ensemble.parts[0].members]
    broken = Ensemble(ensemble.trees, (ListwiseNetworks(noise),), ensemble.recipe)
    recipe, table = choose_recipe(growing, broken, 1e3)
    assert recipe == (TREES,)
    assert len(table) == 3


def test_the_network_learns_and_numpy_scores_as_torch_would():
    data = from_files(letor(missing=True), letor(12, seed=1), 1, 1)
    rest, held = list(range(30)), list(range(30, 40))
    network = ListwiseNetworks([train_network(data.train, rest, held, 3, never)])
    scored = mean_ndcg([network.scores(m) for m in data.val.matrices], data.val.relevance)
    random = np.nanmean(ndcg_per_query([np.zeros(15)] * 12, data.val.relevance))
    assert scored > random + 0.2
    again = ListwiseNetworks([train_network(data.train, rest, held, 3, never)])
    assert np.array_equal(network.scores(data.val.matrices[0]), again.scores(data.val.matrices[0]))


def test_a_resumed_stage_grows_only_the_seeds_that_are_missing(stage, tmp_path):
    run = trainer(tmp_path)
    save_plain(run, DATA)
    bag = train(run, DATA, SETTINGS)
    run.seeds = (5,)
    train_ensembles(run, DATA, SETTINGS, bag)
    first = best_by_design(whole_checkpoints(run.folder.checkpoints))[ENSEMBLE, 5]
    before = first.stat().st_mtime_ns
    run.seeds, run.resume = (5, 6), first
    bag = train(run, DATA, SETTINGS)
    train_ensembles(run, DATA, SETTINGS, bag)
    best = best_by_design(whole_checkpoints(run.folder.checkpoints))
    assert best[ENSEMBLE, 5].stat().st_mtime_ns == before
    other = best_by_design(whole_checkpoints(stage.folder.checkpoints))
    scores = [read_state(each[ENSEMBLE, 6])["selection_score"] for each in (best, other)]
    assert scores[0] == pytest.approx(scores[1])


def test_a_tuned_bag_takes_lightgbms_place_in_every_seeds_ensemble(stage, tmp_path):
    run = trainer(tmp_path, {EARLIER_STAGE: stage.folder.path})
    settings = TuneSettings(trials=3, rounds=20, folds=3)
    folds = split_folds(DATA.train.matrices, DATA.train.relevance, 3, run.seed)
    work = Tuning(run, DATA, settings, folds, TrialLog(run.folder, "f"), Ending(run))
    tune(work, 2)
    assert tuned_ensembles(work, stage.folder.path) == 2
    best = best_by_design(whole_checkpoints(run.folder.checkpoints))
    for seed in (5, 6):
        tuned, parameters = load_ensemble(best[TUNED, seed])
        assert parameters == work.log.best.parameters
        assert read_state(best[TUNED, seed])["selection_score"] == selection_score(tuned, DATA)
    assert read_state(best_checkpoint(run.folder.path))["design"] == TUNED


def test_a_sum_that_is_too_slow_is_not_chosen():
    recipes = [("a",), ("b",), ("a", "b")]
    assert affordable(recipes, {"a": 0.5, "b": 0.9}, 2.0) == recipes
    assert affordable(recipes, {"a": 0.5, "b": 1.2}, 2.0) == [("a",), ("b",)]
    assert affordable(recipes, {"a": 5.0, "b": 4.0}, 2.0) == [("b",)]
