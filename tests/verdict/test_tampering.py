"""One byte changed after the fact is caught every time, whichever file it is in; a cut tail, where anchored."""

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

import verdict.sealed_files
from benchmarks.nights.edits import with_data
from nightshift.states import Word
from tasks.anchor import anchor_head
from verdict.forge import rewrite
from verdict.judge import judge_run
from verdict.seal import read_seal

pytestmark = pytest.mark.slow
ROUNDS = 8


def flipped(path, rng):
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 + rng.randrange(255)
    path.unlink()
    path.write_bytes(bytes(content))


@pytest.fixture
def copy(lab):
    run = lab.copy("tampered")
    with_data(run, lambda _, records: records)
    assert lab.judge(run).word is Word.GO
    return run


def weights(run):
    return [p for p in run.stage("train").checkpoints.rglob("*") if p.is_file()]


KINDS = {
    "checkpoint": weights,
    "ledger": lambda run: [run.ledger],
    "seal": lambda run: [run.seal],
    "labels": lambda run: [Path(read_seal(run).data.splits["test"].path)],
    "results": lambda run: [run.stage("evaluate").results, run.stage("train").events],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_one_changed_byte_is_caught(lab, kind, number):
    run = lab.copy("tampered")
    with_data(run, lambda _, records: records)
    rng = random.Random(f"{kind} {number}")
    flipped(rng.choice(KINDS[kind](run)), rng)
    assert lab.judge(run).word is Word.STOP


@pytest.mark.parametrize("number", range(ROUNDS))
def test_one_changed_byte_of_the_judge_is_caught(lab, tmp_path, monkeypatch, number):
    root = tmp_path / "code"
    for package in ("nightshift", "schedules", "models", "verdict"):
        shutil.copytree(Path(__file__).parents[2] / package, root / package)
    run, rng = lab.copy("tampered"), random.Random(number)
    modules = [p for p in root.rglob("*.py") if verdict.sealed_files.judges(str(p.relative_to(root)))]
    monkeypatch.setattr(verdict.sealed_files, "code_root", lambda: root)
    assert lab.judge(run).word is Word.GO
    flipped(rng.choice([p for p in modules if p.stat().st_size]), rng)
    found = lab.judge(run)
    assert found.word is Word.STOP
    assert "the judge is not the one that was sealed" in found.sentence


def cut(run, lines):
    content = run.ledger.read_bytes().splitlines(keepends=True)
    run.ledger.unlink()
    run.ledger.write_bytes(b"".join(content[:-lines]))


def test_a_tail_cut_after_the_hand_over_is_caught_by_the_hand_off(lab, copy):
    cut(copy, 1)
    assert lab.judge(copy).word is Word.STOP


@pytest.mark.parametrize("where", ["git", "folder"])
def test_a_cut_tail_and_a_rewritten_chain_are_caught_where_the_head_was_anchored(lab, copy, tmp_path, where):
    if where == "git":
        subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    anchor = f"git:{tmp_path}" if where == "git" else str(tmp_path)
    seal = read_seal(copy)
    rewrite(copy, seal.model_copy(update={"plan": seal.plan.model_copy(update={"anchor": anchor})}))
    copy.handoff.unlink()
    anchor_head(copy)
    assert lab.judge(copy).word is Word.GO
    whole = copy.ledger.read_bytes()
    cut(copy, 1)
    assert "anchored" in judge_run(copy, 9, lab.book).sentence
    copy.ledger.write_bytes(whole)
    rewrite(copy, read_seal(copy), lambda e: {**e.facts, "restarts": 0} if e.kind == "judged" else e.facts)
    assert "anchored" in judge_run(copy, 9, lab.book).sentence


def test_an_unreachable_anchor_is_said(lab, copy, tmp_path):
    seal = read_seal(copy)
    plan = seal.plan.model_copy(update={"anchor": "nosuchprotocol://somewhere"})
    rewrite(copy, seal.model_copy(update={"plan": plan}))
    found = lab.judge(copy)
    assert found.word is Word.GO
    assert any("could not be read" in warning for warning in found.warnings)


def test_a_seal_that_cannot_be_read_any_more_stops_the_night(lab, copy):
    record = json.loads(copy.seal.read_text())
    copy.seal.unlink()
    copy.seal.write_text(json.dumps(record)[:-40])
    assert lab.judge(copy).word is Word.STOP
