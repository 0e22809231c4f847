import shutil
import threading

import pytest

from nightshift.states import Word
from verdict.decoy import CORRUPTIONS, Corruption, hard_linked, judge_decoy, with_decoy
from verdict.seal import read_seal

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda one: one.words)
def test_every_kind_of_decoy_is_caught_and_the_night_is_untouched(lab, corruption):
    run = lab.copy("decoyed")
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    assert judge_decoy(run, lab.book, [corruption]) == f"caught ({corruption.words})"
    shutil.rmtree(run.decoy)
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before
    assert lab.judge(run).word is Word.GO


def test_the_real_night_caught_its_own_decoy(lab):
    assert lab.night.verdict.is_file()
    assert '"decoy": "caught (' in lab.night.verdict.read_text()


def test_a_decoy_that_is_not_caught_pauses_the_night(lab, monkeypatch):
    run = lab.copy("decoyed")
    harmless = Corruption("nothing at all", lambda _run, _seal: True)
    monkeypatch.setattr("verdict.decoy.CORRUPTIONS", (harmless,))
    monkeypatch.setattr("verdict.decoy.judge_decoy", lambda r, b: judge_decoy(r, b, [harmless]))
    found = with_decoy(run, lab.judge(run), lab.book, 60)
    assert found.word is Word.PAUSE_AND_FIX
    assert "not caught" in found.sentence


def test_a_decoy_that_cannot_be_made_pauses_nothing(lab, monkeypatch):
    run = lab.copy("decoyed")

    def no_room(_run):
        raise OSError("no space left on device")

    monkeypatch.setattr("verdict.decoy.hard_linked", no_room)
    judged = lab.judge(run)
    found = with_decoy(run, judged, lab.book, 60)
    assert found.word is judged.word
    assert found.decoy == "not made: OSError"
    assert with_decoy(run, judged, lab.book, 1.0).decoy == "not made: no time left"


def test_a_decoy_that_takes_too_long_is_given_up_and_pauses_nothing(lab, monkeypatch):
    run = lab.copy("decoyed")

    def slow(_run, _book):
        threading.Event().wait(30)

    monkeypatch.setattr("verdict.decoy.judge_decoy", slow)
    judged = lab.judge(run)
    found = with_decoy(run, judged, lab.book, 2.0)
    assert (found.word, found.decoy) == (judged.word, "not made: TimeoutError")


def test_a_copy_is_a_night_of_its_own(lab):
    run = lab.copy("decoyed")
    assert read_seal(hard_linked(run)).nonce == read_seal(run).nonce
