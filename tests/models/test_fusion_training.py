"""The trainer's steps in this process; test_train_fusion.py runs it as the nightwatch does."""

import pytest
import torch

from models.data import load_split
from models.data_catalogue import catalogue
from models.encoder_choice import Choice
from models.encoders import MODALITIES, Encoders
from models.fusion_designs import FUSION, Design
from models.fusion_pools import make_pools
from models.fusion_steps import SEARCH_RATE
from models.fusion_training import Training
from models.settings import FusionSettings
from nightshift.checkpoint import newest_whole
from nightshift.rundir import StageDir
from nightshift.trainer import TrainerRun

SETTINGS = FusionSettings(width=64, hidden=32, epochs=4, queries_per_batch=4)
WHOLE = Design(FUSION, MODALITIES)


@pytest.fixture(scope="module")
def pools(tmp_path_factory):
    bar = catalogue(tmp_path_factory.mktemp("cache"), 120)
    queries = load_split(bar.splits["val"], bar.images)[:12]
    encoders = Encoders.fit(Choice(None, None, {}), queries, "cpu", None)
    return encoders, make_pools(queries, encoders, "cpu")


def training(folder, pools, resume=None, microbatch=None):
    stage = StageDir(folder)
    stage.out.mkdir(parents=True, exist_ok=True)
    run = TrainerRun(stage, 11, "n0", "cpu", resume, microbatch, None, None)
    encoders, split = pools
    return Training(run, SETTINGS, encoders, split, split, WHOLE, seed=11, resume=resume)


def same_weights(one, two, atol=0.0):
    pairs = zip(one.network.parameters(), two.network.parameters(), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=atol) for a, b in pairs)


def test_a_resumed_training_is_bit_equal_to_the_uninterrupted_one(tmp_path, pools):
    whole, first = training(tmp_path / "a", pools), training(tmp_path / "b", pools)
    for _ in range(2):
        assert whole.run_epoch()
        assert first.run_epoch()
    first.save(0.5)
    second = training(tmp_path / "b", pools, resume=newest_whole(tmp_path / "b" / "checkpoints"))
    assert (second.step, second.epoch) == (whole.step, whole.epoch) == (6, 2)
    assert whole.run_epoch()
    assert second.run_epoch()
    assert same_weights(whole, second)


def test_a_smaller_microbatch_takes_the_same_step(tmp_path, pools):
    whole, halves = training(tmp_path / "a", pools), training(tmp_path / "b", pools, microbatch=8)
    assert (whole.forward, halves.forward) == (4, 2)
    for each in (whole, halves):
        each.network.eval()  # dropout would draw differently
        each.step_once(each.order()[:4])
    gradients = zip(whole.network.parameters(), halves.network.parameters(), strict=True)
    assert all(torch.allclose(a.grad, b.grad, atol=1e-6) for a, b in gradients)


def test_the_search_side_learns_at_its_multiple_and_every_weight_belongs_to_one_group(tmp_path, pools):
    one = training(tmp_path, pools)
    one.step_once(one.order()[:4])
    mission, search = one.optimizer.param_groups
    assert search["lr"] == pytest.approx(SEARCH_RATE * mission["lr"])
    assert mission["lr"] == pytest.approx(SETTINGS.learning_rate)
    assert len(mission["params"]) + len(search["params"]) == len(list(one.network.parameters()))
    owned = {id(p) for p in search["params"]}
    assert id(one.network.search_gate.weight) in owned
    assert id(one.network.head[0].weight) not in owned
