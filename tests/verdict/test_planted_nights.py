"""The catalogue on one seed: no planted night is GO or MET on what it falsifies, no honest one is flagged."""

import pytest

from benchmarks.nights.run import CATALOGUE, outcome
from nightshift.states import Word

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("case", CATALOGUE, ids=lambda case: case.id)
def test_the_night_comes_out_as_it_must(lab, case):
    found = outcome(lab, case)
    assert not found.wrong
    assert not case.planted or found.word != Word.GO
    assert found.state != "MET"


def test_the_catalogue_has_every_mechanism_and_every_planted_night_has_an_honest_twin():
    assert {case.by for case in CATALOGUE if case.planted} == set("PLJCSO")
    assert sum(not case.planted for case in CATALOGUE) >= 20
    assert len({case.id for case in CATALOGUE}) == len(CATALOGUE)
