import random
from datetime import UTC, datetime

import pytest

from schedules.clock import ManualClock
from verdict.ledger import GENESIS, Ledger, LedgerError, read_ledger

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
def test_one_changed_byte_before_the_last_line_breaks_the_chain(path, seed):
    data = bytearray(path.read_bytes())
    rng = random.Random(seed)
    last_line = data.rstrip(b"\n").rfind(b"\n")
    data[rng.randrange(last_line)] ^= 1 + rng.randrange(255)
    path.write_bytes(bytes(data))
    with pytest.raises(LedgerError):
        read_ledger(path, "n0")


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
