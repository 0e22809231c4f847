"""Each of the six mechanisms switched off lets at least one planted night through; with it on, none."""

import pytest

import verdict.criteria
import verdict.evidence
import verdict.judge
import verdict.ranking_judgement
from benchmarks.nights.run import CATALOGUE, outcome
from nightshift.states import CriterionState, Word
from verdict.criteria import finding
from verdict.data_evidence import DataEvidence
from verdict.statistics import t_interval

pytestmark = pytest.mark.slow


def nothing(*_arguments):
    return []


def ledger_off(patch):
    real = verdict.evidence.read_night
    patch.setattr(verdict.evidence, "read_night", lambda *a: (real(*a)[0], [], []))
    patch.setattr(verdict.evidence, "files_not_of_tonight", nothing)
    patch.setattr(verdict.evidence, "opened_wrongly", lambda *_: ([], []))
    patch.setattr(verdict.evidence, "_not_tonights", lambda *_: "")
    patch.setattr(verdict.evidence, "_read_endings", nothing)


def judge_off(patch):
    patch.setattr(verdict.ranking_judgement, "_not_recomputable", nothing)
    patch.setattr(verdict.ranking_judgement, "scores_alike", lambda *_: True)
    patch.setattr(verdict.evidence, "other_baseline", nothing)


def controls_off(patch):
    patch.setattr(verdict.judge, "examine_sealed", lambda *_: DataEvidence())
    patch.setattr(verdict.judge, "check_own_metric", nothing)


def point_alone(criterion, differences, *_rest, **_more):
    interval = t_interval(differences)
    met = interval.mean >= (criterion.above or 0.0)
    return finding(
        criterion, CriterionState.MET if met else CriterionState.MISSED, "the point alone", interval
    )


def observer_off(patch):
    patch.setattr(verdict.evidence, "observe", nothing)
    patch.setattr(verdict.judge, "spinning", nothing)


def without_checks(book):
    """Return a book that knows the scores, and not what was found in data or metric."""
    other = type(book)()
    other._known = {key: value for key, value in book._known.items() if key[0] not in ("data", "metric")}
    return other


OFF = {
    "P": (lambda patch: patch.setattr(verdict.evidence, "changed_since_start", nothing), ("B2", "V4", "O6")),
    "L": (ledger_off, ("V2", "O1", "D8b")),
    "J": (judge_off, ("S5", "G1", "B1")),
    "C": (controls_off, ("D5", "K1", "M1")),
    "S": (lambda patch: patch.setattr(verdict.ranking_judgement, "judge_gain", point_alone), ("S4",)),
    "O": (observer_off, ("T2", "O3", "G6")),
}


@pytest.mark.parametrize("mechanism", OFF)
def test_without_it_a_planted_night_passes(lab, monkeypatch, mechanism):
    switch_off, ids = OFF[mechanism]
    cases = [case for case in CATALOGUE if case.id in ids]
    assert cases
    assert all(case.by == mechanism for case in cases)
    caught = [outcome(lab, case).word for case in cases]
    assert Word.GO not in caught
    switch_off(monkeypatch)
    before, lab.book = lab.book, without_checks(lab.book)
    passed = [case.id for case in cases if outcome(lab, case).word == Word.GO]
    lab.book = before
    assert passed, f"{mechanism} is not needed for {ids}"
