"""docs/verdict.md: its table of words is what the code does, and it names all that a report can say."""

import re
from pathlib import Path

import pytest

from flows.cli.verdict import EXIT_CODES
from nightshift.states import CriterionState, Word
from tasks.handoff import USABLE_WORDS

PAGE = (Path(__file__).parents[2] / "docs" / "verdict.md").read_text()
ROW = re.compile(r"^\| \*\*(\w+)\*\* \|(.*)\|$", re.MULTILINE)
ROWS = {name: [cell.strip() for cell in rest.split("|")] for name, rest in ROW.findall(PAGE)}


def test_every_word_and_every_state_has_a_row():
    assert set(ROWS) == {str(one) for one in (*Word, *CriterionState)}


@pytest.mark.parametrize("word", Word)
def test_a_word_has_the_exit_code_and_the_hand_over_of_the_code(word):
    _, code, read, _ = ROWS[word]
    assert (code, read) == (str(EXIT_CODES[word]), "yes" if word in USABLE_WORDS else "no")
