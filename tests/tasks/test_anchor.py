"""The ledger's head leaves the run folder: to a repository or to any folder; failures never hold a night."""

import json
import subprocess
from datetime import UTC, datetime

import pytest
from report_fixture import make_seal

from nightshift.rundir import RunDir
from schedules.clock import ManualClock
from tasks.anchor import GIVE_UP_AFTER, Anchor
from verdict.anchored import read_heads, unknown_heads
from verdict.ledger import Ledger, read_chain
from verdict.seal import write_seal


@pytest.fixture
def night(tmp_path):
    def make(anchor):
        run = RunDir(tmp_path / "run")
        run.path.mkdir()
        seal = make_seal(tmp_path, "fusion")
        seal = seal.model_copy(update={"plan": seal.plan.model_copy(update={"anchor": anchor})})
        write_seal(seal, run)
        ledger = Ledger(run.ledger, seal.nonce, ManualClock(datetime(2026, 11, 24, 22, tzinfo=UTC)))
        ledger.write("night-opened")
        return run, seal, Anchor(run, seal, ledger)

    return make


@pytest.mark.parametrize("kind", ["git", "folder"])
def test_heads_are_kept_away_from_the_run_and_read_back(night, tmp_path, kind):
    place = tmp_path / "away"
    place.mkdir()
    if kind == "git":
        subprocess.run(["git", "init", "--quiet", str(place)], check=True)
    run, seal, anchor = night(f"git:{place}" if kind == "git" else str(place))
    anchor.send()
    anchor.ledger.write("judged")
    anchor.send(last=True)
    heads, warnings = read_heads(seal)
    assert not warnings
    assert [head.seq for head in heads] == [0, 2]
    chain = read_chain(run.ledger, seal.nonce)
    assert [entry.kind for entry in chain.entries] == ["night-opened", "anchored", "judged", "anchored"]
    assert not unknown_heads(heads, chain)
    if kind == "git":
        log = subprocess.run(
            ["git", "-C", str(place), "log", "--oneline"], capture_output=True, text=True, check=True
        )
        assert len(log.stdout.splitlines()) == 2


def test_a_pushed_head_is_in_the_remote(night, tmp_path):
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "remote")], check=True)
    subprocess.run(["git", "clone", "--quiet", str(tmp_path / "remote"), str(tmp_path / "away")], check=True)
    run, seal, anchor = night(f"git:{tmp_path / 'away'}")
    anchor.send()
    shown = ["git", "-C", str(tmp_path / "remote"), "show", f"HEAD:nightshift-heads/{seal.nonce}.jsonl"]
    found = subprocess.run(shown, capture_output=True, text=True, check=True)
    assert json.loads(found.stdout)["sha256"] == read_chain(run.ledger, seal.nonce).entries[0].sha256


def test_what_cannot_be_anchored_is_written_down_and_given_up_until_the_end(night, tmp_path):
    run, seal, anchor = night(f"git:{tmp_path / 'no-repository'}")
    for _ in range(GIVE_UP_AFTER + 2):
        anchor.send()
    kinds = [entry.kind for entry in read_chain(run.ledger, seal.nonce).entries]
    assert kinds == ["night-opened", *["not-anchored"] * GIVE_UP_AFTER]
    anchor.send(last=True)
    assert "no git repository" in str(read_chain(run.ledger, seal.nonce).entries[-1].facts["reason"])


def test_without_a_place_nothing_is_written(night):
    run, seal, anchor = night(None)
    anchor.send()
    assert len(read_chain(run.ledger, seal.nonce).entries) == 1
