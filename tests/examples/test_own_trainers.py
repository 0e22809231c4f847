"""Somebody else's trainers under a night: killed once, resumed, in time, and judged by the scores that they give."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "tasks"))

from open_night import OpenNight  # noqa: E402
from topics import write_topics  # noqa: E402

from nightshift.events import read_events  # noqa: E402
from nightshift.states import CriterionState, Metric  # noqa: E402
from tasks.handoff import read_handoff  # noqa: E402
from tasks.new_night import new_night  # noqa: E402
from tasks.stage_standing import read_memory  # noqa: E402
from verdict.finding import read_verdict  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.world, pytest.mark.timeout(280)]


@pytest.fixture
def night(tmp_path):
    write_topics(tmp_path / "data")
    opened = []

    def open_it(name):
        opened.append(OpenNight(tmp_path, REPOSITORY / "examples" / "nights.toml", name, speed=240.0))
        return opened[-1]

    yield open_it
    for one in opened:
        one.end()


@pytest.mark.parametrize("name", ["plain-torch", "hugging-face", "lightning"])
def test_a_foreign_trainer_is_resumed_and_judged(night, name):
    one = night(name)
    stage = one.run.stage("train")
    for _ in range(600):
        kinds = [event.kind for event in read_events(stage.events)[0]]
        if "checkpoint" in kinds:
            break
        one.pause(0.1)

    os.kill(read_memory(stage).running.pid, signal.SIGKILL)
    one.follow_all("train", "judge", "hand-over", "report")
    record = json.loads(stage.exit.read_text())
    assert record["ending"] == "FINISHED", stage.output.read_text()[-2000:]
    assert len(record["attempts"]) == 2
    events = read_events(stage.events)[0]
    again = [n for n, event in enumerate(events) if event.kind == "started"][-1]
    first_step = next(event.step for event in events[again:] if event.kind == "progress")
    assert first_step > 1, "it went on, and did not begin anew"
    assert read_handoff(one.run).on_time
    verdict = read_verdict(one.run)
    gain = next(f for f in verdict.criteria if f.name == Metric.VALIDATION_NDCG)
    assert gain.state is CriterionState.MET, gain.reason
    assert gain.n > 40
    assert str(verdict.word) == "GO", verdict.sentence
    assert any("Scores were given in a file" in warning for warning in verdict.warnings)
    unwatched = any("could not be watched" in warning for warning in verdict.warnings)
    assert unwatched == (name == "plain-torch"), verdict.warnings
    labels = one.run.unlabelled.read_text()
    assert '"relevance"' not in labels
    assert '"score_v1"' in labels


@pytest.mark.parametrize("name", ["hugging-face", "lightning"])
def test_two_processes_train_one_network_and_stop_together(tmp_path, name):
    for path in (REPOSITORY / "examples").iterdir():
        if path.is_file():
            text = path.read_text().replace("devices=1", "devices=2")
            text = text.replace("elastic = true", "elastic = true\nprocesses = 2")
            (tmp_path / path.name).write_text(
                text.replace('judge = "ranking"', 'judge = "ranking"\nclaims = ["text"]')
            )
    plan = tmp_path / "nights.toml"
    head, tail = plan.read_text().split('name = "hugging-face"')
    plan.write_text(
        f'{head.replace("processes = 2", "")}name = "hugging-face"{tail}'
    )  # a plain program is one process
    write_topics(tmp_path / "data")
    one = OpenNight(tmp_path, plan, name, speed=240.0)
    try:
        stage = one.run.stage("train")
        one.follow_all("train", "judge", "hand-over", "report")
    finally:
        one.end()
    record = json.loads(stage.exit.read_text())
    assert record["ending"] == "FINISHED", stage.output.read_text()[-2000:]
    assert len(record["attempts"]) == 1, stage.output.read_text()[-2000:]
    told = read_events(stage.events)[0]
    assert sum(event.kind == "started" for event in told) == 1, "rank 0 alone speaks"
    pools = len((tmp_path / "data" / "train.jsonl").read_text().splitlines())
    steps = [event.step for event in told if event.kind == "progress"]
    assert steps[-1] == 20 * -(-pools // 2), "each of the two took half of the pools"
    verdict = read_verdict(one.run)
    gain = next(f for f in verdict.criteria if f.name == Metric.VALIDATION_NDCG)
    assert gain.state is CriterionState.MET, gain.reason
    assert any("claims text, but its use is not measured" in warning for warning in verdict.warnings)


CHEAT = """
import json, os
from pathlib import Path
from nightshift.given_scores import save_scores
from nightshift.trainer import open_run

run = open_run()
scores = {}
for split in ("val", "test"):
    path = Path(run.inputs["train"]).with_name(f"{split}.jsonl")
    text = os.popen(f"cat {path}").read()  # not by this process: nobody sees it opened
    pools = [json.loads(line) for line in text.splitlines()]
    scores[split] = {q["query_id"]: [c["relevance"] for c in q["candidates"]] for q in pools}
run.progress(1, samples=1, total=1, share=1.0)
save_scores(run, 1, scores, selection_score=1.0)
run.finish()
"""


def test_labels_given_as_scores_are_no_go(tmp_path):
    write_topics(tmp_path / "data")
    plan, trainer = new_night("cheat", tmp_path)
    trainer.write_text(CHEAT)
    one = OpenNight(tmp_path, plan, "cheat", speed=240.0)
    try:
        one.follow_all("train", "judge", "hand-over", "report")
        verdict = read_verdict(one.run)
        assert str(verdict.word) == "PAUSE_AND_FIX", verdict.sentence
        assert any("perfect order" in finding for finding in verdict.findings)
    finally:
        one.end()
