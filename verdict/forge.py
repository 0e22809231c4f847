"""A seal and a ledger made to fit a corrupted copy, for decoys: what hashes alone cannot catch, others must."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from nightshift.checkpoint import manifest_sha256, sha256_of, write_atomically
from nightshift.rundir import RunDir
from schedules.clock import ManualClock
from verdict.chain_evidence import FILE
from verdict.ledger import Entry, Ledger, read_ledger
from verdict.scored import load_queries
from verdict.seal import Seal, SealedData, write_seal
from verdict.sealed_files import sealed_file, sealed_pictures, sealed_split

Facts = Mapping[str, str | float]
HANDED_OVER = "handed-over"


def reseal(run: RunDir, seal: Seal, splits: Mapping[str, Path], images: Path | None = None) -> Seal:
    """Return the seal of this copy as if the night had been sealed on these files, now on disk."""
    images = images or (Path(seal.data.images) if seal.data.images else None)
    files = {**seal.data.splits, **{name: sealed_file(path) for name, path in splits.items()}}
    data = seal.data.model_copy(update={"splits": files, "images": str(images) if images else None})
    other = seal.model_copy(update={"data": data})
    queries = {name: load_queries(other, name) for name in files}
    contents = {name: sealed_split(one, name == "test") for name, one in queries.items()}
    update: dict[str, object] = {"contents": contents, "pictures": sealed_pictures(queries.values())}
    sealed: SealedData = data.model_copy(update=update)
    other = seal.model_copy(update={"data": sealed})
    rewrite(run, other)
    return other


def rewrite(
    run: RunDir, seal: Seal, change: Callable[[Entry], Facts | None] = lambda entry: entry.facts
) -> None:
    """Write the seal, and the ledger anew so that it fits seal, checkpoints and results as they now are.

    `change` gives the facts of each line, or None for a line to leave out.
    """
    old = json.loads(run.seal.read_text())["nonce"]
    entries = read_ledger(run.ledger, old)
    digest = write_seal(seal, run)
    run.ledger.unlink()
    ledger = Ledger(run.ledger, seal.nonce, ManualClock(seal.window.start))
    for entry in entries:
        facts = change(entry)
        if facts is not None:
            mine = (
                _handed_over(run, ledger.head) if entry.kind == HANDED_OVER else _sealed(entry.kind, digest)
            )
            ledger.write(entry.kind, **(_as_it_is(run, entry.kind, facts) | mine))


def _handed_over(run: RunDir, head: str) -> dict[str, str | float]:
    """Let the hand-off name this head, and return its hash."""
    if not run.handoff.is_file():
        return {}
    record = json.loads(run.handoff.read_text()) | {"ledger_head": head}
    write_atomically(run.handoff, json.dumps(record))
    return {"handoff_sha256": sha256_of(run.handoff)}


def _sealed(kind: str, digest: str) -> dict[str, str | float]:
    return {"seal_sha256": digest} if kind == "night-opened" else {}


def _as_it_is(run: RunDir, kind: str, facts: Facts) -> dict[str, str | float]:
    """Return the facts with the hashes of the files as they now are."""
    path = run.path / str(facts.get("path", "-"))
    if kind == FILE and path.is_file():
        return dict(facts) | {"sha256": sha256_of(path), "size": path.stat().st_size}
    if kind == "checkpoint" and (path / "manifest.json").is_file():
        return dict(facts) | {"manifest_sha256": manifest_sha256(path)}
    return dict(facts)
