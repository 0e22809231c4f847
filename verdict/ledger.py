"""Append-only record of one night: each line holds the hash of the line before it and the night's nonce."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from nightshift.states import NightError
from schedules.clock import Clock

GENESIS = "0" * 64


class LedgerError(NightError):
    """A ledger that is broken, cut or of another night."""


@dataclass(frozen=True)
class Entry:
    """One line of the ledger."""

    seq: int
    at: str
    kind: str
    prev: str
    nonce: str
    facts: dict[str, str | float]
    sha256: str
    """Hash of the line itself; the next line carries it as `prev`."""


def _line_hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def read_ledger(path: Path, nonce: str) -> list[Entry]:
    """Return the chain of this night, verified from its first line to its last whole one.

    Raises LedgerError with the number of the first line that does not follow from the one before.
    """
    entries: list[Entry] = []
    prev = GENESIS
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            record = json.loads(line)
            entry = Entry(**record, sha256=_line_hash(line))
        except (ValueError, TypeError) as error:
            raise LedgerError(f"{path}:{number}: not a ledger line ({error})") from error
        if (entry.seq, entry.prev, entry.nonce) != (number - 1, prev, nonce):
            raise LedgerError(f"{path}:{number}: does not follow from the line before it; it was altered")
        entries.append(entry)
        prev = entry.sha256
    return entries


class Ledger:
    """The one writer's handle on a night's ledger."""

    def __init__(self, path: Path, nonce: str, clock: Clock) -> None:
        self.path, self.nonce, self.clock = path, nonce, clock
        chain = read_ledger(path, nonce) if path.exists() else []
        self.length = len(chain)
        self.head = chain[-1].sha256 if chain else GENESIS

    def write(self, kind: str, **facts: str | float) -> str:
        """Return the new head of the chain, after the line is on disk."""
        record = {
            "seq": self.length,
            "at": self.clock.now().isoformat(),
            "kind": kind,
            "prev": self.head,
            "nonce": self.nonce,
            "facts": facts,
        }
        line = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.length += 1
        self.head = _line_hash(line)
        return self.head
