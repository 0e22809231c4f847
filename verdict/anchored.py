"""The ledger's heads that left the machine: a chain alone cannot show a cut tail or a whole rewrite."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import fsspec

from verdict.ledger import Chain
from verdict.seal import Seal

GIT = "git:"
FOLDER = "nightshift-heads"
WITHIN_S = 20.0


@dataclass(frozen=True)
class Head:
    """One anchored head."""

    seq: int
    """Number of the ledger's last line then."""
    sha256: str


def head_line(head: Head, at: str) -> str:
    """Return one head as a line of JSON."""
    return json.dumps({"seq": head.seq, "sha256": head.sha256, "at": at})


def git_file(nonce: str) -> str:
    """Return the path of a night's heads inside a repository."""
    return f"{FOLDER}/{nonce}.jsonl"


def git(repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Return the ended git command; its exit code is the caller's to look at."""
    command = ["git", "-C", str(repository), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)


def read_heads(seal: Seal) -> tuple[list[Head], list[str]]:
    """Return the heads of this night where its plan anchors them, and a warning where they cannot be read."""
    where = seal.plan.anchor
    if where is None:
        return [], []
    try:
        lines = _git_lines(where, seal.nonce) if where.startswith(GIT) else _file_lines(where, seal.nonce)
        return [Head(int(r["seq"]), str(r["sha256"])) for r in map(json.loads, lines)], []
    except (OSError, ValueError, KeyError, TypeError, ImportError, subprocess.SubprocessError) as error:
        return [], [f"the anchored heads at {where} could not be read ({error}); the ledger stands alone"]


def _git_lines(where: str, nonce: str) -> list[str]:
    found = git(Path(where.removeprefix(GIT)), "show", f"HEAD:{git_file(nonce)}")
    return found.stdout.splitlines() if found.returncode == 0 else []


def _file_lines(where: str, nonce: str) -> list[str]:
    system, path = fsspec.core.url_to_fs(where)
    folder = f"{path.rstrip('/')}/{FOLDER}/{nonce}"
    if not system.exists(folder):
        return []
    return [system.cat_file(name).decode() for name in sorted(system.ls(folder, detail=False))]


def unknown_heads(heads: list[Head], chain: Chain) -> list[str]:
    """Return what was anchored and is not in the chain any more."""
    known = {entry.seq: entry.sha256 for entry in chain.entries}
    return [
        f"line {head.seq + 1} is {'another one' if head.seq in known else 'gone'}"
        for head in heads
        if known.get(head.seq) != head.sha256
    ]
