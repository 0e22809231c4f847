"""What the ledger says of a stage's files: what lay there before, what was written, what its trainers opened."""

from pathlib import Path

from nightshift.checkpoint import sha256_of
from nightshift.opened import read_opened
from nightshift.rundir import RunDir
from verdict.chain_evidence import FILE, FOUND, OPENED, result_files
from verdict.ledger import Ledger, read_ledger


def record_found(run: RunDir, stage: str, ledger: Ledger) -> None:
    """Record what lies in a stage's folder before its first trainer starts: it cannot be of this night."""
    entries = read_ledger(run.ledger, ledger.nonce)
    if any(e.kind == "trainer-started" and e.facts.get("stage") == stage for e in entries):
        return
    for path in result_files(run.stage(stage)):
        ledger.write(FOUND, stage=stage, path=str(path.relative_to(run.path)), sha256=sha256_of(path))


def record_results(run: RunDir, stage: str, ledger: Ledger) -> None:
    """Record every result that a stage has left, and every data file that its trainers opened."""
    folder = run.stage(stage)
    for path in result_files(folder):
        place = str(path.relative_to(run.path))
        ledger.write(FILE, stage=stage, path=place, sha256=sha256_of(path), size=path.stat().st_size)
    for opened in map(Path, read_opened(folder.opened) or []):
        if opened.is_file():
            facts = {"path": str(opened), "sha256": sha256_of(opened), "size": opened.stat().st_size}
            ledger.write(OPENED, stage=stage, **facts)  # type: ignore[arg-type]
