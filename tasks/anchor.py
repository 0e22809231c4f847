"""The ledger's head leaves the machine (`python -m tasks.anchor RUN_DIR`), in a child: no network may hold a night."""

import subprocess
import sys
from pathlib import Path

import fsspec

from nightshift.checkpoint import write_atomically
from nightshift.instant import boottime_s
from nightshift.rundir import RunDir
from nightshift.states import NightError
from verdict.anchored import FOLDER, GIT, WITHIN_S, Head, git, git_file, head_line
from verdict.ledger import Ledger, read_chain
from verdict.seal import Seal, read_seal

EVERY_S = 600.0
"""Real seconds between two anchors of checkpoints; start, stages' ends and the hand-over are always anchored."""
GIVE_UP_AFTER = 3
"""Failures in a row after which only the hand-over is tried again."""


class Anchor:
    """Sends a night's heads where its plan says; nothing where it says nothing."""

    def __init__(self, run: RunDir, seal: Seal, ledger: Ledger) -> None:
        self.run, self.seal, self.ledger = run, seal, ledger
        self.failures = 0
        self.last_s = float("-inf")

    def now_and_then(self) -> None:
        """Anchor the head, unless that was done in the last ten minutes."""
        if boottime_s() - self.last_s >= EVERY_S:
            self.send()

    def send(self, last: bool = False) -> None:
        """Anchor the head as it stands; what came of it is one more line of the ledger."""
        if self.seal.plan.anchor is None or (self.failures >= GIVE_UP_AFTER and not last):
            return
        self.last_s, length = boottime_s(), self.ledger.length
        why = self._child()
        self.failures = self.failures + 1 if why else 0
        if why:
            self.ledger.write("not-anchored", reason=why)
        else:
            self.ledger.write("anchored", where=self.seal.plan.anchor, line=length)

    def _child(self) -> str:
        """Return why the head could not be anchored, or an empty text."""
        command = [sys.executable, "-m", "tasks.anchor", str(self.run.path)]
        try:
            ended = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=WITHIN_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            return f"no answer in {WITHIN_S:.0f} s"
        told = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
        return "" if ended.returncode == 0 else told[:200]


def anchor_head(run: RunDir) -> None:
    """Write the head of this run's ledger to where its plan says.

    Raises NightError or OSError where it could not be written.
    """
    seal = read_seal(run)
    chain, where = read_chain(run.ledger, seal.nonce), seal.plan.anchor
    if where is None or not chain.entries:
        return
    head = Head(chain.entries[-1].seq, chain.head)
    line = head_line(head, chain.entries[-1].at)
    if where.startswith(GIT):
        _commit(Path(where.removeprefix(GIT)), seal.nonce, line)
        return
    system, path = fsspec.core.url_to_fs(where)
    folder = f"{path.rstrip('/')}/{FOLDER}/{seal.nonce}"
    system.makedirs(folder, exist_ok=True)
    system.pipe_file(f"{folder}/{head.seq:06d}.json", line.encode())


def _commit(repository: Path, nonce: str, line: str) -> None:
    """Append the head to the night's file in a repository, commit it, and push where there is a remote."""
    name = git_file(nonce)
    path = repository / name
    if not (repository / ".git").exists():
        raise NightError(f"{repository}: no git repository; make one with `git init`, or name another anchor")
    path.parent.mkdir(exist_ok=True)
    before = path.read_text() if path.exists() else ""
    write_atomically(path, f"{before}{line}\n")
    author = ("-c", "user.name=nightshift", "-c", "user.email=nightshift@localhost")
    message = f"Head of night {nonce[:8]}"
    steps = [("add", name), (*author, "commit", "--quiet", "--no-verify", "-m", message, "--", name)]
    if git(repository, "remote").stdout.strip():
        steps.append(("push", "--quiet"))
    for step in steps:
        done = git(repository, *step)
        if done.returncode != 0:
            raise NightError(f"{repository}: git {step[-1]}: {(done.stderr or done.stdout).strip()[:200]}")


if __name__ == "__main__":
    try:
        anchor_head(RunDir(Path(sys.argv[1])))
    except (NightError, OSError, ValueError, ImportError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
