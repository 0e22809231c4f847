import numpy as np
import pytest

from models.encoders import MODALITIES
from models.fusion_designs import ATTENTION, BOTH, FUSION, LATE, LEANER, LONGER, Board, lower_bound

RNG = np.random.default_rng(1)
QUERIES = 60
BASE = RNG.uniform(0.5, 0.9, QUERIES)


def board(drops=None, **lifts):
    """Return a board on which each design scores BASE plus its lift and a little noise, two seeds each."""
    made = Board(MODALITIES, (11, 12))
    made.drops = drops or dict.fromkeys(MODALITIES, (0.05, 0.03))
    made.scores = {
        name: {seed: BASE + lift + RNG.normal(0, 0.005, QUERIES) for seed in made.seeds}
        for name, lift in lifts.items()
    }
    return made


def test_the_sum_stays_where_nothing_is_better_by_more_than_a_standard_error():
    assert board(fusion=0.0, late=0.0, attention=-0.1, leaner=-0.02, both=0.0).choose()[0] == BOTH
    assert board(fusion=0.0, leaner=-0.02, attention=-0.1).choose()[0] == FUSION


@pytest.mark.parametrize("name", [FUSION, LATE, ATTENTION, LEANER])
def test_a_design_that_validates_better_is_chosen(name):
    lifts = dict.fromkeys((FUSION, LATE, ATTENTION, LEANER, BOTH), 0.0) | {name: 0.05}
    chosen, why = board(**lifts).choose()
    assert chosen == name
    assert "validates better" in why


def test_a_modality_that_is_not_shown_to_be_read_is_left_out_where_that_costs_nothing():
    silent = {"image": (0.001, -0.002), "text": (0.3, 0.2), "attributes": (0.05, 0.03)}
    made = board(silent, fusion=0.0, late=0.0, both=0.0, leaner=0.0)
    assert made.choose()[0] == LEANER
    assert made.design(LEANER).modalities == ("text", "attributes")
    costly = board(silent, fusion=0.0, late=0.0, both=0.0, leaner=-0.05)
    assert costly.choose()[0] == BOTH
    beaten = board(silent, fusion=0.0, late=0.0, both=0.03, leaner=0.0)
    assert beaten.choose()[0] == BOTH


def test_what_is_likely_to_be_handed_over_is_trained_first_for_every_seed():
    order = [(design.name, seed) for design, seed in board().plan()]
    assert order[:4] == [(FUSION, 11), (LATE, 11), (FUSION, 12), (LATE, 12)]
    silent = {"image": (0.0, -0.1), "text": (0.3, 0.2), "attributes": (0.05, 0.03)}
    order = [(design.name, seed) for design, seed in board(silent).plan()]
    assert order[:3] == [(FUSION, 11), (LEANER, 11), (LATE, 11)]
    assert len(order) == len(set(order)) == 10
    assert order[-2:] == [(LONGER, 11), (LONGER, 12)]


def test_longer_training_is_kept_only_where_validation_says_so():
    assert board(fusion=0.0, late=-0.02, longer=0.05).choose()[0] == LONGER
    assert board(fusion=0.0, late=-0.02, longer=-0.004).choose()[0] == FUSION
    assert board(fusion=0.0, late=-0.02, longer=-0.05).choose()[0] == FUSION


def test_a_board_is_read_back_as_it_was_written(tmp_path):
    made = board(fusion=0.0, late=0.01)
    made.scores[FUSION][11][3] = np.nan
    made.write(tmp_path)
    again = Board(MODALITIES, (11, 12))
    again.read(tmp_path)
    assert again.drops == made.drops
    np.testing.assert_allclose(again.scores[FUSION][11], made.scores[FUSION][11], atol=1e-6)
    assert again.choose() == made.choose()


def test_the_lower_bound_of_constant_differences_is_their_mean():
    assert lower_bound(np.full(9, 0.25)) == (0.25, 0.25)
    assert lower_bound(np.array([0.1, np.nan]))[1] == -np.inf
