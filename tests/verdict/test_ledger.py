import random
from datetime import UTC, datetime

import pytest

from schedules.clock import ManualClock
from verdict.ledger import GENESIS, Ledger, LedgerError, read_chain, read_ledger

START = datetime(2026, 11, 24, 22, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl", "n0", ManualClock(START))
    for number in range(6):
        ledger.write("step", number=number, name=f"stage-{number}")
    return tmp_path / "ledger.jsonl"


def test_the_chain_reads_back(path):
    entries = read_ledger(path, "n0")
    assert [entry.facts["number"] for entry in entries] == list(range(6))
    assert entries[0].prev == GENESIS


@pytest.mark.parametrize("seed", range(40))
def test_one_changed_byte_anywhere_is_noticed(path, seed):
    data = bytearray(path.read_bytes())
    rng = random.Random(seed)
    data[rng.randrange(len(data))] ^= 1 + rng.randrange(255)
    path.write_bytes(bytes(data))
    try:
        torn = read_chain(path, "n0").torn
    except LedgerError:
        return
    assert torn, "only the end of the last line can be lost without an error, and then the file is torn"


def test_a_torn_last_line_is_told_and_cut_by_the_next_writer(path):
    path.write_bytes(path.read_bytes()[:-20])
    chain = read_chain(path, "n0")
    assert chain.torn
    assert len(chain.entries) == 5
    Ledger(path, "n0", ManualClock(START)).write("more")
    chain = read_chain(path, "n0")
    assert not chain.torn
    assert [entry.kind for entry in chain.entries] == ["step"] * 5 + ["more"]


def test_another_nights_ledger_is_refused(path):
    with pytest.raises(LedgerError, match="altered"):
        read_ledger(path, "n1")


def test_a_removed_line_is_noticed(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(LedgerError, match=":3:"):
        read_ledger(path, "n0")


def test_a_writer_goes_on_where_the_chain_ends(path):
    ledger = Ledger(path, "n0", ManualClock(START))
    ledger.write("more")
    assert len(read_ledger(path, "n0")) == 7
