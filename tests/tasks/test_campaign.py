"""Which night comes next, what is pruned, and what is said when the code has changed."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from report_fixture import verdict, write_night

from nightshift.checkpoint import write_atomically
from nightshift.rundir import RunDir
from nightshift.states import Ending, Word
from schedules.plan_source import BUILT_IN, read_plan
from tasks.campaign import MOST_TRIES, broke, changed_code, next_of_campaign, tries
from tasks.handoff import Handoff
from tasks.prune import prune_home
from verdict.seal import read_seal, write_seal

PLAN = read_plan(BUILT_IN)
AT = datetime(2026, 11, 26, 6, tzinfo=UTC)


def hand(home, night, word, endings=None, number=1, judged=True):
    run = RunDir.create(home, f"2026-11-{number:02d}", night)
    handoff = Handoff(
        night=night, date="2026-11-25", word=word, usable=word in (Word.GO, Word.NO_GAIN), sentence="", checkpoint=None,
        handed_over_at=AT, deadline=AT + timedelta(hours=1), on_time=True, files=(), nonce="", ledger_head="",
        endings=endings or {"train": Ending.STOPPED_AT_DEADLINE}, judged=judged,
    )  # fmt: skip
    write_atomically(run.handoff, handoff.model_dump_json())
    return handoff


def next_name(home):
    night = next_of_campaign(PLAN, home)
    return night.name if night else None


@pytest.mark.parametrize("word", [Word.GO, Word.NO_GAIN, Word.STOP, Word.PAUSE_AND_FIX])
def test_a_night_with_an_answer_is_not_repeated(tmp_path, word):
    hand(tmp_path, "fusion", word)
    assert next_name(tmp_path) == "ltr"


@pytest.mark.parametrize(
    ("endings", "judged"),
    [
        ({"train": Ending.CRASHED}, True),
        ({"train": Ending.STALLED, "evaluate": Ending.FINISHED}, True),
        ({"train": Ending.OUT_OF_MEMORY}, True),
        ({"train": Ending.FINISHED}, False),
    ],
)
def test_a_night_that_broke_is_repeated_but_not_for_ever(tmp_path, endings, judged):
    for number in range(1, MOST_TRIES):
        assert broke(hand(tmp_path, "fusion", Word.PAUSE_AND_FIX, endings, number, judged))
        assert next_name(tmp_path) == "fusion"
    hand(tmp_path, "fusion", Word.PAUSE_AND_FIX, endings, MOST_TRIES, judged)
    assert next_name(tmp_path) == "ltr"


def test_a_crash_that_restarts_have_healed_is_no_reason_to_repeat(tmp_path):
    handoff = hand(tmp_path, "fusion", Word.NO_GAIN, {"train": Ending.FINISHED, "evaluate": Ending.CRASHED})
    assert broke(handoff) == ""
    assert tries(tmp_path, "fusion").over


def test_the_campaign_ends(tmp_path):
    for number, night in enumerate(PLAN.nights, 1):
        hand(tmp_path, night.name, Word.GO, number=number)
    assert next_name(tmp_path) is None


def test_an_upgrade_in_mid_campaign_is_named(tmp_path):
    first, second = (write_night(tmp_path / name, verdict(Word.GO)) for name in ("a/1", "a/2"))
    seal = read_seal(first)
    write_seal(
        seal.model_copy(update={"code": {"models.fusion": "0" * 64, "verdict.judge": "1" * 64}}), first
    )
    later = seal.model_copy(update={"code": {"models.fusion": "2" * 64, "verdict.judge": "1" * 64}})
    home = first.path.parents[1]
    assert changed_code(home, second, later).startswith("The code is not that of night fusion")
    assert "models.fusion changed" in changed_code(home, second, later)
    same = seal.model_copy(update={"code": {"models.fusion": "0" * 64}})
    assert changed_code(home, second, same) == ""


def test_pruning_leaves_hand_overs_and_whatever_was_not_handed_over(tmp_path):
    for number, handed in ((1, True), (2, False), (3, True)):
        run = RunDir.create(tmp_path, f"2026-11-{number:02d}", "fusion")
        checkpoint = run.stage("train").checkpoints / "step-000001"
        checkpoint.mkdir(parents=True)
        (checkpoint / "weights").write_bytes(bytes(1000))
        beside = run.stage("train").member(1).checkpoints / "step-000001"
        beside.mkdir(parents=True)
        (beside / "weights").write_bytes(bytes(500))
        run.handover.mkdir()
        (run.handover / "weights").write_bytes(bytes(1000))
        if handed:
            content = hand(tmp_path / "elsewhere", "fusion", Word.GO, number=number)
            write_atomically(run.handoff, content.model_dump_json())
    home = tmp_path
    assert [freed for _, freed in prune_home(home, keep=1, dry_run=True)] == [1500]
    assert len(list(home.glob("2026*/*/stages/*/checkpoints/step-*"))) == 3
    prune_home(home, keep=1, dry_run=False)
    left = sorted(path.parts[-6] for path in home.glob("2026*/*/stages/*/checkpoints/step-*/weights"))
    assert len(left) == 2
    assert len(list(home.glob("2026*/*/stages/*/members/*/checkpoints/step-*"))) == 2
    assert len(list(home.glob("2026*/*/handover/weights"))) == 3
    assert json.loads(next(iter(sorted(home.glob("2026*/*/handoff.json")))).read_text())["word"] == "GO"
