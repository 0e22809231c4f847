"""`parallel = "seeds"`: two real processes train one design and seed each, at the same time (torchrun, gloo)."""

import json
import os
import shutil
import signal
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fusion_process import ALONE, wait_for
from fusion_process import start as start_process
from safetensors.numpy import load_file

from models.fusion_apart import Others, rounds, shared_out
from models.fusion_training import OPTIMIZER
from models.settings import check_settings
from models.stage_best import best_by_design
from nightshift.checkpoint import (
    newest_whole,
    read_state,
    remove_checkpoint,
    whole_checkpoints,
    write_checkpoint,
)
from nightshift.events import append_line, read_events
from nightshift.rundir import StageDir
from nightshift.torchrun import members
from nightshift.trainer import TrainerRun

TWO = "-m", "nightshift.torchrun", "--processes", "2", *ALONE
REAL = pytest.mark.slow, pytest.mark.timeout(200)
SETTINGS = {"epochs": 2, "designs": ["fusion", "late"], "one_seed": False}


def real(test):
    for mark in REAL:
        test = mark(test)
    return test


def start(folder, bar, processes=2, **more):
    settings = SETTINGS | {"parallel": "seeds" if processes == 2 else "data"} | more.pop("settings", {})
    words = TWO if processes == 2 else ()
    more = {"NIGHT_SEEDS": "11,12,13", "OMP_NUM_THREADS": "1"} | more
    return start_process(folder, bar, settings, *words, **more)


def finish(stage, process):
    assert process.wait(150) == 0, stage.output.read_text()[-3000:]


def member_of(stage):
    return stage.member(1)


def wait_until(seen, process, stage):
    for _ in range(1200):
        if seen():
            return
        assert process.poll() is None, stage.output.read_text()[-2000:]
        threading.Event().wait(0.05)
    raise AssertionError("never seen")


def trainings(stage):
    """Return (design, seed) -> its best checkpoint."""
    return best_by_design(whole_checkpoints(stage.checkpoints))


def same_weights(one, other):
    weights = [load_file(path / "fusion.safetensors") for path in (one, other)]
    return weights[0].keys() == weights[1].keys() and all(
        np.array_equal(weights[0][name], weights[1][name]) for name in weights[0]
    )


@pytest.fixture(scope="module")
def by_one(tmp_path_factory, bar):
    """The same trainings, one after another in one process."""
    stage, process = start(tmp_path_factory.mktemp("one") / "train", bar, processes=1)
    finish(stage, process)
    return stage


@real
def test_two_processes_train_what_one_trains_one_after_another(tmp_path, bar, by_one):
    left = StageDir(tmp_path / "train").member(
        1
    )  # by a start that was killed before the leader's first checkpoint
    write_checkpoint(left.checkpoints, 9, lambda folder: None, {"design": "late", "seed": 11}, "n0")
    stage, process = start(tmp_path / "train", bar)
    finish(stage, process)
    mine, its = trainings(stage), trainings(by_one)
    assert mine.keys() == its.keys() == {(d, s) for d in ("fusion", "late", "both") for s in (11, 12, 13)}
    assert all(same_weights(mine[key], its[key]) for key in its)
    choices = [json.loads((one.out / "choice.json").read_text()) for one in (stage, by_one)]
    assert choices[0]["per_query"] == choices[1]["per_query"]
    assert choices[0]["design"] == choices[1]["design"]
    trained_elsewhere = {
        key for key, path in mine.items() if not (path / OPTIMIZER).exists() and key[0] != "both"
    }
    assert len(trained_elsewhere) == 3, "half of six"
    events = read_events(stage.events)[0]
    kinds = [event.kind for event in events]
    assert (kinds.count("started"), kinds.count("finished")) == (1, 1), "rank 0 alone speaks"
    told = [event for event in events if event.kind == "progress"]
    assert [event.samples for event in told] == sorted(event.samples for event in told)
    assert told[-1].samples == told[-1].total, "its own part, three trainings of six"
    assert not stage.members.exists()


@real
def test_killed_both_go_on_from_checkpoints_of_their_own(tmp_path, bar):
    settings, two_seeds = {"epochs": 4, "evaluate_every": 1, "designs": ["fusion"]}, {"NIGHT_SEEDS": "11,12"}
    stage, process = start(tmp_path / "train", bar, settings=settings, **two_seeds)
    member = member_of(stage)
    wait_until(lambda: len(whole_checkpoints(member.checkpoints)) > 1, process, stage)
    process.kill()
    process.wait()
    newest = newest_whole(member.checkpoints)
    before, said = read_state(newest), len(read_events(member.events)[0])
    assert before["seed"] != read_state(newest_whole(stage.checkpoints))["seed"]
    again, second = start(
        stage.path, bar, settings=settings, NIGHT_RESUME=str(newest_whole(stage.checkpoints)), **two_seeds
    )
    steps = []

    def goes_on():
        later = read_events(member.events)[0][said:]
        steps[:] = [event.step for event in later if event.kind == "progress"]
        return bool(steps)

    wait_until(goes_on, second, again)
    assert min(steps) > before["step"]
    finish(again, second)
    whole, process = start(tmp_path / "whole", bar, processes=1, settings=settings, **two_seeds)
    finish(whole, process)
    mine, its = trainings(stage), trainings(whole)
    assert mine.keys() == its.keys() == {("fusion", 11), ("fusion", 12)}
    assert all(same_weights(mine[key], its[key]) for key in its), "as if nobody had been killed"


@real
def test_asked_to_stop_all_do(tmp_path, bar):
    stage, process = start(tmp_path / "train", bar, settings={"epochs": 4000})
    wait_for(stage, "progress", 1, process)
    wait_until(lambda: newest_whole(member_of(stage).checkpoints), process, stage)
    process.send_signal(signal.SIGTERM)
    finish(stage, process)
    assert wait_for(stage, "finished", 1, process)[-1].reason == "asked to stop"


@real
def test_at_the_deadline_all_end_and_what_was_cut_is_dropped(tmp_path, bar):
    deadline = (datetime.now(UTC) + timedelta(seconds=13)).isoformat()
    stage, process = start(tmp_path / "train", bar, settings={"epochs": 4000}, NIGHT_DEADLINE=deadline)
    assert process.wait(60) == 0, stage.output.read_text()[-2000:]
    assert wait_for(stage, "finished", 1, process)[-1].reason == "deadline"
    assert set(trainings(stage)) == {("fusion", 11)}, "some model is there to hand over, cut as it is"


@real
def test_a_killed_process_ends_the_whole(tmp_path, bar):
    stage, process = start(tmp_path / "train", bar, settings={"epochs": 4000})
    wait_until(lambda: newest_whole(member_of(stage).checkpoints), process, stage)
    os.kill(members(process.pid)[1], signal.SIGKILL)
    assert process.wait(60) == 1, stage.output.read_text()[-2000:]
    assert "rank 1 ended with -9" in stage.output.read_text()
    assert not (stage.out / "choice.json").exists(), "half a training is not noted as a whole one"
    resume = newest_whole(stage.checkpoints)
    again, second = start(stage.path, bar, settings={"epochs": 4000}, NIGHT_RESUME=str(resume))
    began = read_state(resume)["step"]
    wait_until(lambda: any(e.step > began for e in read_events(stage.events)[0]), second, again)
    second.send_signal(signal.SIGTERM)
    finish(again, second)
    assert {read_state(path)["seed"] for path in whole_checkpoints(stage.checkpoints)} == {11}


@real
def test_killed_while_the_leader_waits_what_others_had_begun_goes_on(tmp_path, bar):
    settings, two_seeds = {"epochs": 2, "designs": ["fusion"]}, {"NIGHT_SEEDS": "11,12"}
    stage, process = start(tmp_path / "train", bar, settings=settings, **two_seeds)
    finish(stage, process)
    begun, choice = trainings(stage)["fusion", 11], stage.out / "choice.json"
    left = stage.member(1).checkpoints
    shutil.copytree(begun, left / begun.name)  # as if the leader had waited for it, all else done
    told = json.loads(choice.read_text())
    told["per_query"]["fusion"].pop("11")
    choice.write_text(json.dumps(told | {"drops": {}}))
    done = trainings(stage)["fusion", 12]
    for path in set(whole_checkpoints(stage.checkpoints)) - {done}:
        remove_checkpoint(path)
    again, second = start(stage.path, bar, settings=settings, NIGHT_RESUME=str(done), **two_seeds)
    finish(again, second)
    assert json.loads(choice.read_text())["per_query"]["fusion"].keys() == {"11", "12"}
    assert not (trainings(stage)["fusion", 11] / OPTIMIZER).exists(), "the other process went on with it"
    assert json.loads(choice.read_text())["drops"], "found out again, from the network that is kept"


FUSION, LATE, LEANER, LONGER = (("fusion", 1), ("late", 1), ("leaner", 1), ("longer", 1))


def test_others_train_the_same_design_and_go_on_with_what_they_had_begun():
    fits = [FUSION, LATE, ("fusion", 2), ("late", 2)]
    assert shared_out(fits, FUSION, {}, 2, True) == {1: LATE}, "first what the sum needs"
    assert shared_out(fits, FUSION, {}, 2, False) == {1: ("fusion", 2)}
    assert shared_out(fits, FUSION, {}, 4, False) == {1: ("fusion", 2), 2: LATE, 3: ("late", 2)}
    assert shared_out(fits, FUSION, {1: LATE}, 3, False) == {1: LATE, 2: ("fusion", 2)}
    assert shared_out(fits, FUSION, {1: FUSION}, 2, False) == {1: ("fusion", 2)}, "the leader goes on with it"
    assert shared_out(fits, FUSION, {1: ("late", 9)}, 2, False) == {1: ("fusion", 2)}, "done before the kill"
    assert shared_out([FUSION], FUSION, {}, 3, False) == {}


def test_others_do_not_run_ahead_of_what_is_not_known_yet():
    fits = [FUSION, LEANER, LONGER, ("longer", 2)]
    assert shared_out(fits, FUSION, {}, 4, True) == {}
    assert shared_out(fits, FUSION, {}, 4, False) == {1: LEANER}
    assert shared_out(fits, LONGER, {}, 2, False) == {1: ("longer", 2)}
    assert shared_out([LONGER], None, {1: LONGER}, 2, False) == {1: LONGER}, "begun before the kill"


def test_rounds_are_counted_as_they_will_be():
    plan = [FUSION, LATE, LEANER, ("attention", 1)]
    assert [rounds(plan, ranks, True) for ranks in (1, 2, 3, 4, 8)] == [4, 2, 2, 2, 2], (
        "leaner waits for the first"
    )
    three = [(name, seed) for seed in (1, 2, 3) for name in ("fusion", "late")]
    assert rounds(three, 2, True) == 3
    assert rounds([LONGER], 2, False) == 1
    assert rounds([], 2, False) == 0


class Waiting:
    """A team whose others come after some looks; what happens meanwhile is the test's."""

    size, rank = 3, 0

    def __init__(self, looks):
        self.looks = looks

    def tell(self, what):
        return what

    def arrived(self, mine, meanwhile):
        for between in self.looks:
            between()
            meanwhile()
        return np.array([list(mine), [0.0, 0.0], [0.0, 0.0]])


def test_the_leader_falls_silent_where_one_that_it_waits_for_has(tmp_path, monkeypatch):
    stage, now, beats = StageDir(tmp_path / "train"), [1000.0], []
    members = [stage.member(rank) for rank in (1, 2)]
    monkeypatch.setattr("nightshift.trainer_run.boottime_s", lambda: now[0])
    monkeypatch.setattr("models.fusion_apart.boottime_s", lambda: now[0])
    run = TrainerRun(stage, 11, "n0", "cpu", None, None, None, None)

    def look(*speaking, home=()):
        def between():
            beats.append(sum(event.kind == "beat" for event in read_events(stage.events)[0]))
            now[0] += 100
            for member in speaking:
                member.path.mkdir(parents=True, exist_ok=True)
                append_line(member.events, {"kind": "beat", "at": datetime.now(UTC).isoformat()})
            for member in home:
                member.events.unlink()

        return between

    one, two = members
    looks = [look(one, two), look(one), look(one), look(one), look(one), look(one, two), look(home=[two])]
    looks += [look(one), look(one), look(one), look(one), look()]
    others = Others(run, Waiting(looks), {}, [os.getpid()], {1: FUSION, 2: LATE})
    assert others.grown() == [], "they were cut"
    assert beats == [0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 8, 9], "silent for 300 s: nobody speaks for it"


def test_one_process_cannot_train_seeds_side_by_side():
    wrong = check_settings("models.train_fusion", {"parallel": "seeds"}, 1)
    assert wrong is not None
    assert "set processes = 2 or more" in wrong
    assert check_settings("models.train_fusion", {"parallel": "seeds"}, 2) is None
