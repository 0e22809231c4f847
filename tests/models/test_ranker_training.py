from datetime import timedelta

import numpy as np
import pytest

from models.dataset import DataError, FeatureQuery
from models.ranker import load_ranker
from models.ranker_bag import selection_score
from models.ranker_boosting import grow_member
from models.ranker_data import from_files, read_ranking_data
from models.settings import RankerSettings
from models.train_ranker import train
from nightshift.checkpoint import read_state, whole_checkpoints
from nightshift.events import read_events
from nightshift.instant import wall_now
from nightshift.rundir import StageDir
from nightshift.trainer import TrainerRun

SETTINGS = RankerSettings(rounds=20, folds=4)


def letor(queries=40, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for number in range(queries):
        features = rng.normal(size=(15, 6)).astype(np.float32)
        truth = features[:, 1:4].sum(axis=1) + rng.normal(scale=0.5, size=15)
        made.append(FeatureQuery(str(number), features, np.clip(truth.round(), 0, 4).astype(np.int64)))
    return made


DATA = from_files(letor(), letor(12, seed=1), 1, 1)


def trainer(folder, resume=None, seconds=None, inputs=None):
    stage = StageDir(folder)
    stage.out.mkdir(parents=True, exist_ok=True)
    deadline = wall_now() + timedelta(seconds=seconds) if seconds else None
    return TrainerRun(stage, 0, "n", "cpu", resume, None, None, deadline, inputs or {})


def texts(checkpoint):
    return [member.model_to_string() for member in load_ranker(checkpoint)[0].members]


def test_every_fold_is_a_checkpoint_with_the_score_of_exactly_that_model(tmp_path):
    run = trainer(tmp_path)
    assert train(run, DATA, SETTINGS) is not None
    stored = whole_checkpoints(run.folder.checkpoints)
    assert [len(texts(path)) for path in stored] == [1, 2, 3, 4]
    for path in stored:
        state = read_state(path)
        assert state["kind"] == "ranker"
        assert state["selection_score"] == selection_score(load_ranker(path)[0], DATA)
    events, _ = read_events(run.folder.events)
    scored = [event for event in events if "val_gain" in event.values]
    assert [event.step for event in scored] == [20, 40, 60, 80]
    assert all(event.values["loss"] > 0 for event in scored)
    progress = [event.samples for event in events if event.kind == "progress"]
    assert progress == sorted(progress)
    assert progress[-1] == SETTINGS.rounds * SETTINGS.folds


def test_a_resumed_training_ends_with_the_same_model(tmp_path):
    whole = trainer(tmp_path / "whole")
    train(whole, DATA, SETTINGS)
    stored = whole_checkpoints(whole.folder.checkpoints)
    resumed = trainer(tmp_path / "resumed", resume=stored[1])
    train(resumed, DATA, SETTINGS)
    again = whole_checkpoints(resumed.folder.checkpoints)
    assert [path.name for path in again] == [path.name for path in stored[2:]]
    assert texts(again[-1]) == texts(stored[-1])


def test_a_fold_cut_at_the_deadline_is_grown_anew_when_time_is_given(tmp_path):
    cut = trainer(tmp_path / "cut", seconds=0.01)
    assert train(cut, DATA, SETTINGS) is None
    (only,) = whole_checkpoints(cut.folder.checkpoints)
    assert read_state(only)["cut"] is True
    resumed = trainer(tmp_path / "resumed", resume=only)
    train(resumed, DATA, SETTINGS)
    whole = trainer(tmp_path / "whole")
    train(whole, DATA, SETTINGS)
    expected, grown = (whole_checkpoints(run.folder.checkpoints)[-1] for run in (whole, resumed))
    assert texts(grown) == texts(expected)


def test_the_watch_ends_the_boosting_at_once(tmp_path):
    from models.ranker_boosting import DEFAULTS, split_folds

    fold = split_folds(DATA.train.matrices, DATA.train.relevance, 3, 0)[0]
    seen = []
    member = grow_member(fold, DEFAULTS, 1000, 0, lambda rounds, _: seen.append(rounds) or rounds >= 7)
    assert seen == list(range(1, 8))
    assert member.cut
    assert member.rounds <= 7


def test_a_missing_input_is_named(tmp_path):
    with pytest.raises(DataError, match="no 'val' among train"):
        read_ranking_data(trainer(tmp_path, inputs={"train": tmp_path / "train.txt"}))
