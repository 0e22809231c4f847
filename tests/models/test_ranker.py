import shutil
import subprocess
import sys

import numpy as np
import pytest

from models.dataset import Candidate, DataError, FeatureQuery, Query
from models.metrics import mean_ndcg
from models.ranker import load_ranker, save_ranker
from models.ranker_bag import Bag, selection_score
from models.ranker_boosting import DEFAULTS, grow_member, split_folds
from models.ranker_data import from_files, from_searches, pair_margin_loss
from models.ranker_features import fit_features
from models.ranker_fusion import FusionScores, earlier_fusion
from models.scorers import load_scorer
from nightshift.checkpoint import damage, write_checkpoint
from nightshift.instant import boottime_s
from nightshift.states import NightError


def never(_rounds, _held_out):
    return False


def letor(queries=60, seed=0, width=12):
    """Labels follow the sum of three columns; column 3 alone is a weak V1."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(queries):
        features = rng.normal(size=(30, width)).astype(np.float32)
        truth = features[:, 3:6].sum(axis=1) + rng.normal(scale=0.3, size=30)
        made.append(FeatureQuery(str(number), features, np.clip(truth.round(), 0, 4).astype(np.int64)))
    return made


def searches(queries=18, seed=0):
    rng = np.random.default_rng(seed)
    fruits = ("apple", "lime", "plum")

    def item(name, fruit, wanted):
        grams = {"grams": float(rng.normal()), "maker": f"{fruit} farm"}
        return Candidate(name, f"ripe {fruit}", 3 * (fruit == wanted), float(rng.normal()), None, grams)

    return [
        Query(
            f"q{number}",
            f"one {fruits[number % 3]} please",
            tuple(item(f"{number}-{at}", fruits[at % 3], fruits[number % 3]) for at in range(9)),
        )
        for number in range(queries)
    ]


def grown(data, rounds=30, seed=0):
    bag = Bag(data)
    for fold in split_folds(data.train.matrices, data.train.relevance, 3, seed):
        bag.add(fold, grow_member(fold, DEFAULTS, rounds, seed, never).text)
    return bag


@pytest.fixture(scope="module")
def letor_bag():
    return grown(from_files(letor(), letor(20, seed=1), 3, 1))


def stored(ranker, folder):
    return write_checkpoint(
        folder, 1, lambda path: save_ranker(ranker, DEFAULTS, path), {"kind": "ranker"}, nonce="n"
    )


def test_the_bag_beats_the_best_single_column_also_on_queries_it_never_saw(letor_bag):
    data = letor_bag.data
    assert selection_score(letor_bag.ranker, data) > data.val.v1_ndcg_at_10 + 0.1
    assert data.train.v1_ndcg_at_10 + 0.1 < letor_bag.out_of_fold < 1.0


def test_growing_twice_gives_the_same_model(letor_bag):
    assert grown(letor_bag.data).texts == letor_bag.texts


def test_a_checkpoint_scores_like_the_model_that_was_saved(letor_bag, tmp_path):
    checkpoint = stored(letor_bag.ranker, tmp_path)
    scorer, queries = load_scorer(checkpoint), letor(5, seed=2)
    requests = scorer.encode(queries)
    expected = letor_bag.ranker.score_matrices([query.features for query in queries])
    for request, together, alone in zip(requests, scorer.score_many(requests), expected, strict=True):
        np.testing.assert_allclose(scorer.score(request), together, atol=1e-12)
        np.testing.assert_array_equal(together, alone)
    assert damage(checkpoint) is None
    assert load_ranker(checkpoint)[1] == DEFAULTS


def test_files_of_another_width_are_fitted_to_the_trained_one(letor_bag):
    (query,) = letor(1, seed=3)
    wider = FeatureQuery("w", np.pad(query.features, ((0, 0), (0, 5)), constant_values=9.0), query.relevance)
    narrower = FeatureQuery("n", query.features[:, :8], query.relevance)
    same, wide, narrow = (
        request.parts["features"] for request in letor_bag.ranker.encode([query, wider, narrower])
    )
    np.testing.assert_array_equal(same, wide)
    assert narrow.shape == same.shape
    assert (narrow[:, 8:] == 0).all()
    data = from_files(letor(), [wider, narrower], 3, 1)
    assert {matrix.shape[1] for matrix in data.val.matrices} == {data.width}


def test_data_of_the_other_kind_is_refused(letor_bag):
    with pytest.raises(NightError, match="trained on features and got text"):
        letor_bag.ranker.encode(searches(1))


def test_a_torn_checkpoint_is_named(letor_bag, tmp_path):
    checkpoint = stored(letor_bag.ranker, tmp_path)
    (checkpoint / "member-1.txt").unlink()
    with pytest.raises(NightError, match="step-000001: not a whole ranker"):
        load_scorer(checkpoint)


def test_labels_without_two_grades_cannot_be_learned(letor_bag):
    data = letor_bag.data.train
    with pytest.raises(DataError, match="0 of 60 queries"):
        split_folds(data.matrices, [labels * 0 for labels in data.relevance], 3, 0)


def test_a_pool_of_thirty_is_scored_within_two_milliseconds(letor_bag):
    ranker = letor_bag.ranker
    (request,) = ranker.encode(letor(1))
    taken = []
    for _ in range(200):
        begun = boottime_s()
        ranker.score(request)
        taken.append(boottime_s() - begun)
    assert np.median(taken) < 2e-3


def test_margin_loss_is_the_margin_for_a_constant_scorer_and_nothing_beyond_it():
    labels = [np.array([0, 1, 3])]
    assert pair_margin_loss([np.zeros(3)], labels) == pytest.approx(0.1)
    assert pair_margin_loss([np.array([0.0, 1.0, 2.0])], labels) == 0.0


def test_an_earlier_model_becomes_a_column_and_travels_with_the_checkpoint(tmp_path):
    train, val = searches(), searches(6, seed=1)
    space, fitted = fit_features(train)
    plain = grown(from_searches(train, val, space, fitted))
    handover = tmp_path / "handover"
    stored(plain.ranker, handover).rename(handover / "checkpoint")
    fusion = earlier_fusion({"handoff.fusion": handover}, "cpu")
    space, fitted = fit_features(train, fusion)
    stacked = grown(from_searches(train, val, space, fitted))
    earlier = fitted[0][:, space.names.index("score_fusion")]
    np.testing.assert_allclose(earlier, plain.ranker.score_many(plain.ranker.encode(train))[0], atol=1e-6)
    assert stacked.out_of_fold is None
    checkpoint = stored(stacked.ranker, tmp_path / "night")
    shutil.rmtree(handover)
    scorer = load_scorer(checkpoint)
    assert "earlier night's fusion model" in scorer.encoders["features"]
    scores = scorer.score_many(scorer.encode(val))
    assert mean_ndcg(scores, [query.relevance() for query in val]) == selection_score(
        stacked.ranker, stacked.data
    )


def test_without_an_earlier_model_nothing_of_torch_is_imported():
    assert not isinstance(earlier_fusion({}, "cpu"), FusionScores)
    code = "import sys, models.train_ranker, models.tune_ranker; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
