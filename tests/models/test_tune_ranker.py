import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import optuna
import pytest
from sqlalchemy.exc import OperationalError

from models.dataset import FeatureQuery
from models.ranker import load_ranker
from models.ranker_bag import Ending, selection_score
from models.ranker_boosting import DEFAULTS, split_folds
from models.ranker_data import from_files
from models.scorers import load_scorer
from models.settings import RankerSettings, TuneSettings
from models.shared_study import SharedStudy
from models.train_ranker import train
from models.tune_ranker import EARLIER_STAGE, Tuning, tune
from models.tuning import SPACE, Trial, TrialEnd, TrialLog, propose, selection
from nightshift.checkpoint import newest_whole, read_state, whole_checkpoints
from nightshift.events import read_events
from nightshift.instant import wall_now
from nightshift.rundir import StageDir
from nightshift.trainer import TrainerRun


def letor(queries=40, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for number in range(queries):
        features = rng.normal(size=(15, 6)).astype(np.float32)
        truth = features[:, 1:4].sum(axis=1) + rng.normal(scale=0.5, size=15)
        made.append(FeatureQuery(str(number), features, np.clip(truth.round(), 0, 4).astype(np.int64)))
    return made


DATA = from_files(letor(), letor(12, seed=1), 1, 1)


def trainer(folder, seconds=None, inputs=None):
    stage = StageDir(folder)
    stage.out.mkdir(parents=True, exist_ok=True)
    deadline = wall_now() + timedelta(seconds=seconds) if seconds else None
    return TrainerRun(stage, 0, "n", "cpu", None, None, None, deadline, inputs or {})


def tuning(run, trials=4):
    settings = TuneSettings(trials=trials, rounds=20, folds=3)
    folds = split_folds(DATA.train.matrices, DATA.train.relevance, settings.folds, run.seed)
    return Tuning(run, DATA, settings, folds, TrialLog(run.folder, "f"), Ending(run))


def parameters_of(log):
    return [(trial.number, dict(trial.parameters), trial.value) for trial in log.finished]


def test_the_default_is_inside_the_search_space():
    assert set(DEFAULTS) == set(SPACE)
    assert all(SPACE[name]._contains(SPACE[name].to_internal_repr(DEFAULTS[name])) for name in SPACE)


def test_every_improvement_is_a_checkpoint_of_exactly_that_model(tmp_path):
    work = tuning(trainer(tmp_path), trials=8)
    assert tune(work) == "done"
    assert [trial.number for trial in work.log.finished] == list(range(9))
    stored = whole_checkpoints(work.run.folder.checkpoints)
    assert read_state(stored[0])["step"] == 0
    for path in stored:
        ranker, parameters = load_ranker(path)
        state = read_state(path)
        assert parameters == work.log.finished[state["trial"]].parameters
        assert (
            state["selection_score"]
            == selection_score(ranker, DATA)
            == work.log.finished[state["step"]].validation
        )
    assert read_state(stored[-1])["selection_score"] == work.log.best.validation
    events, _ = read_events(work.run.folder.events)
    told = [event.values for event in events if event.kind == "metrics"]
    assert [values["trial"] for values in told] == list(range(9))
    assert told[-1]["best_value"] == work.log.best.value
    assert [event.samples for event in events if event.kind == "progress"] == list(range(9))


def test_a_resumed_run_keeps_finished_trials_and_proposes_what_an_uninterrupted_one_would(tmp_path):
    whole = tuning(trainer(tmp_path / "whole"), trials=14)
    tune(whole)
    tune(tuning(trainer(tmp_path / "cut"), trials=11))
    lines = tmp_path / "cut" / "out" / "trials.jsonl"
    lines.write_text(lines.read_text() + '{"number": 12, "par')
    resumed = tuning(trainer(tmp_path / "cut"), trials=14)
    assert len(resumed.log.finished) == 12
    tune(resumed)
    assert parameters_of(resumed.log) == parameters_of(whole.log)


def test_trials_of_other_conditions_are_not_taken_over(tmp_path):
    work = tuning(trainer(tmp_path), trials=1)
    tune(work)
    assert len(TrialLog(work.run.folder, "f").finished) == 2
    assert TrialLog(work.run.folder, "another night").finished == []


def test_the_deadline_cuts_a_trial_inside_its_boosting(tmp_path):
    run = trainer(tmp_path, seconds=60)
    work = tuning(run, trials=100)
    work.run_trial(0, DEFAULTS)
    run.deadline = wall_now() + timedelta(seconds=work.ending.reserve_s + 0.002)
    assert work.run_trial(1, propose(work.log.finished, 0, 1)) is TrialEnd.CUT
    assert [trial.number for trial in work.log.finished] == [0]
    work.log.write_table("deadline")
    table = json.loads((run.folder.out / "trials.json").read_text())
    assert [trial["end"] for trial in table["trials"]] == ["finished", "cut"]


def test_no_trial_starts_that_would_probably_not_end_in_time(tmp_path):
    run = trainer(tmp_path, seconds=60)
    work = tuning(run)
    assert work.room()
    for seconds in (*range(1, 10), 50):
        work.log.add(Trial(0, DEFAULTS, TrialEnd.FINISHED, 0.5, 0.5, 0.5, float(seconds)))
    run.deadline = wall_now() + timedelta(seconds=13)
    assert not work.room()
    run.deadline = wall_now() + timedelta(seconds=15)
    assert work.room()


def test_a_deadline_in_the_past_still_leaves_a_model(tmp_path):
    work = tuning(trainer(tmp_path, seconds=0.01))
    assert tune(work) == "deadline"
    assert load_scorer(newest_whole(work.run.folder.checkpoints)).score_matrices(DATA.val.matrices)


def test_the_training_stage_gives_the_default_model(tmp_path):
    train(trainer(tmp_path / "train"), DATA, RankerSettings(rounds=20, folds=3))
    work = tuning(trainer(tmp_path / "tune", inputs={EARLIER_STAGE: tmp_path / "train"}), trials=1)
    tune(work)
    bags = whole_checkpoints(tmp_path / "train" / "checkpoints")
    assert work.log.finished[0].validation == read_state(bags[-1])["selection_score"]
    assert work.log.finished[0].value == read_state(bags[-1])["out_of_fold_ndcg_at_10"]


def test_the_selection_gap_is_the_gain_that_is_not_seen_elsewhere():
    facts = selection([ended(0, 0.70, 0.75), ended(1, 0.76, 0.77), ended(2, 0.74, 0.80)])
    assert facts["best_trial"] == 1
    assert facts["selection_gap"] == pytest.approx(0.06 - 0.02)
    alone = [Trial(n, DEFAULTS, TrialEnd.FINISHED, v, v, None, 1.0) for n, v in ((0, 0.7), (1, 0.8))]
    assert selection(alone)["selection_gap"] is None


def ended(number, value, validation):
    return Trial(number, DEFAULTS, TrialEnd.FINISHED, value, validation, value, 1.0)


@pytest.mark.parametrize(
    ("value", "validation", "earns"),
    [(0.76, 0.75, True), (0.76, 0.74, False), (0.69, 0.80, False)],
    ids=["both hold", "validation loses", "not better out of fold"],
)
def test_tuning_is_kept_only_where_it_gains_out_of_fold_and_validation_does_not_lose(
    tmp_path, value, validation, earns
):
    log = tuning(trainer(tmp_path)).log
    log.trials = [ended(0, 0.70, 0.75), ended(1, value, validation)]
    assert log.earns_its_place is earns


def test_tuning_ends_when_the_latest_trials_have_not_helped(tmp_path):
    work = tuning(trainer(tmp_path), trials=50)
    work.settings = TuneSettings(trials=50, rounds=20, folds=3, patience=3)
    assert tune(work) == "no improvement in 3 trials"
    assert work.log.without_improvement() == 3
    assert len(work.log.finished) < 50


def helped(best=0.999, count=1):
    """Return a study in which somebody else has finished trials."""
    study = optuna.create_study(direction="maximize")
    for number in range(count):
        parameters = dict(DEFAULTS) | {"num_leaves": 8 + number}
        study.add_trial(
            optuna.trial.create_trial(
                params=parameters, distributions=dict(SPACE), value=best - number * 1e-4
            )
        )
    return study


def test_what_scored_higher_elsewhere_is_tried_here_and_judged_by_its_own_value(tmp_path):
    work = tuning(trainer(tmp_path), trials=5)
    work.shared = SharedStudy(helped(count=9))
    tune(work)
    leaves = [trial.parameters["num_leaves"] for trial in work.log.finished]
    assert (leaves[1], leaves[3], leaves[5]) == (8, 9, 10), "the best first, every other trial"
    assert leaves[2] not in range(8, 17) or leaves[4] not in range(8, 17)
    assert all(trial.value < 0.999 for trial in work.log.finished), (
        "a value from elsewhere is never taken over"
    )
    known = [trial.params for trial in work.shared.study.get_trials()]
    mine = [dict(trial.parameters) for trial in work.log.finished[:-1]]
    assert all(parameters in known for parameters in mine)
    assert len(known) == len({json.dumps(parameters, sort_keys=True) for parameters in known}), "told once"


def test_what_scored_lower_elsewhere_changes_nothing(tmp_path):
    alone, work = tuning(trainer(tmp_path / "a"), trials=4), tuning(trainer(tmp_path / "b"), trials=4)
    work.shared = SharedStudy(helped(best=0.1))
    tune(alone)
    tune(work)
    assert parameters_of(work.log) == parameters_of(alone.log)


def test_a_database_that_fails_is_named_once_and_the_night_tunes_alone(tmp_path, capsys):
    class Broken:
        def get_trials(self, **_asked):
            raise OperationalError("SELECT hunter2", {}, Exception("postgresql://me:hunter2@host"))

    alone, work = tuning(trainer(tmp_path / "a"), trials=4), tuning(trainer(tmp_path / "b"), trials=4)
    work.shared = SharedStudy(Broken())
    tune(alone)
    tune(work)
    assert parameters_of(work.log) == parameters_of(alone.log)
    told = capsys.readouterr().out
    assert told.count("tuning alone") == 1
    assert "hunter2" not in told


def written(path, queries):
    lines = [
        f"{label} qid:{query.id} " + " ".join(f"{at + 1}:{value:.5f}" for at, value in enumerate(row))
        for query in queries
        for label, row in zip(query.relevance, query.features, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")


def environment(folder, settings, **more):
    folder.mkdir(exist_ok=True)
    written(folder / "train.txt", letor())
    written(folder / "val.txt", letor(12, seed=1))
    (folder / "settings.json").write_text(json.dumps(settings))
    inputs = {
        name: str(folder / file)
        for name, file in (("train", "train.txt"), ("val", "val.txt"), ("settings", "settings.json"))
    }
    (folder / "inputs.json").write_text(json.dumps(inputs))
    return {
        **os.environ,
        "NIGHT_RUN_DIR": str(folder),
        "NIGHT_INPUTS": str(folder / "inputs.json"),
        "NIGHT_SEED": "0",
        "NIGHT_NONCE": "n",
        **more,
    }


def in_seconds(seconds):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@pytest.mark.slow
@pytest.mark.alone
def test_a_whole_box_is_used_and_never_exceeded(tmp_path):
    box = 8.0
    begun = time.monotonic()
    told = environment(
        tmp_path, {"trials": 100_000, "rounds": 60, "patience": 100_000}, NIGHT_DEADLINE=in_seconds(box)
    )
    ended = subprocess.run([sys.executable, "-m", "models.tune_ranker"], env=told, check=False)
    assert ended.returncode == 0
    assert 0.75 * box < time.monotonic() - begun < box + 0.5  # on a busy machine the last trial is dearer
    table = json.loads((tmp_path / "out" / "trials.json").read_text())
    assert table["reason"] == "deadline"
    assert len(table["trials"]) > 3


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_the_best_model_and_every_finished_trial(tmp_path):
    stage, delays = StageDir(tmp_path), np.random.default_rng(7).uniform(0.0, 0.8, size=4)
    told = environment(tmp_path, {"trials": 100_000, "rounds": 60, "patience": 100_000})
    lines = stage.out / "trials.jsonl"
    before: list[str] = []
    for delay in delays:
        newest = newest_whole(stage.checkpoints)
        resume = {"NIGHT_RESUME": str(newest)} if newest else {}
        process = subprocess.Popen([sys.executable, "-m", "models.tune_ranker"], env={**told, **resume})
        limit = time.monotonic() + 30
        while time.monotonic() < limit and (
            not lines.exists() or len(lines.read_text().splitlines()) <= len(before) + 1
        ):
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        text = lines.read_text()
        after = text[: text.rfind("\n") + 1].splitlines()
        assert after[: len(before)] == before
        assert len(after) > len(before)
        best = newest_whole(stage.checkpoints)
        values = [json.loads(line)["value"] for line in after[1:]]
        assert read_state(best)["selection_score"] >= max(values)
        scorer = load_scorer(best)
        assert all(np.isfinite(scores).all() for scores in scorer.score_many(scorer.encode(letor(3))))
        before = after
