"""Append-only record of one night: each line holds the hash of the line before it, its own, and the nonce."""

import hashlib
import json
import os
from collections.abc import Callable
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
    """Hash of the line without this key; the next line carries it as `prev`."""


@dataclass(frozen=True)
class Chain:
    """What a ledger file holds."""

    entries: list[Entry]
    torn: bool
    """Whether the file ends in the middle of a line: a writer died there, or somebody cut it."""

    @property
    def head(self) -> str:
        """Hash of the last whole line."""
        return self.entries[-1].sha256 if self.entries else GENESIS


def _packed(record: dict[str, object]) -> bytes:
    return json.dumps(record, separators=(",", ":"), allow_nan=False).encode()


def _line_hash(record: dict[str, object]) -> str:
    return hashlib.sha256(_packed(record)).hexdigest()


def _entry(line: bytes) -> Entry:
    """Return the entry on this line; ValueError where a single byte is not what its writer wrote."""
    record = json.loads(line)
    if not isinstance(record, dict) or _packed(record) != line:
        raise ValueError("not a line as it was written")
    digest = record.pop("sha256", None)
    if digest != _line_hash(record):
        raise ValueError("its hash is not the hash of what it says")
    return Entry(**record, sha256=str(digest))


def read_chain(path: Path, nonce: str) -> Chain:
    """Return the chain of this night, verified from its first line to its last whole one.

    Raises LedgerError with the number of the first line that was altered or does not follow.
    """
    entries: list[Entry] = []
    prev = GENESIS
    *lines, rest = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            entry = _entry(line)
        except (ValueError, TypeError) as error:
            raise LedgerError(f"{path}:{number}: altered, or no ledger line ({error})") from error
        if (entry.seq, entry.prev, entry.nonce) != (number - 1, prev, nonce):
            raise LedgerError(f"{path}:{number}: does not follow from the line before it; it was altered")
        entries.append(entry)
        prev = entry.sha256
    return Chain(entries, torn=bool(rest))


def read_ledger(path: Path, nonce: str) -> list[Entry]:
    """Return the verified entries of this night; a torn last line is left out.

    Raises LedgerError as `read_chain`.
    """
    return read_chain(path, nonce).entries


class Ledger:
    """The one writer's handle on a night's ledger."""

    def __init__(
        self, path: Path, nonce: str, clock: Clock, on_full: Callable[[], object] = lambda: None
    ) -> None:
        """`on_full` makes room where the disk refuses a line; the line is tried once more."""
        self.path, self.nonce, self.clock, self.on_full = path, nonce, clock, on_full
        chain = read_chain(path, nonce) if path.exists() else Chain([], torn=False)
        if chain.torn:
            self._drop_torn_line()
        self.length = len(chain.entries)
        self.head = chain.head

    def _drop_torn_line(self) -> None:
        """Cut what a killed writer left of its last line; nobody was told that it was written."""
        whole = self.path.read_bytes() if self.path.exists() else b""
        if not whole:
            return
        with self.path.open("r+b") as file:
            file.truncate(whole.rfind(b"\n") + 1)

    def write(self, kind: str, **facts: str | float) -> str:
        """Return the new head of the chain, after the line is on disk."""
        record: dict[str, object] = {
            "seq": self.length,
            "at": self.clock.now().isoformat(),
            "kind": kind,
            "prev": self.head,
            "nonce": self.nonce,
            "facts": facts,
        }
        digest = _line_hash(record)
        line = _packed(record | {"sha256": digest}) + b"\n"
        try:
            self._append(line)
        except OSError:
            self._drop_torn_line()
            self.on_full()
            self._append(line)
        self.length += 1
        self.head = digest
        return self.head

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            if os.write(descriptor, line) < len(line):
                raise OSError(f"{self.path}: the disk took a part of a line only")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
