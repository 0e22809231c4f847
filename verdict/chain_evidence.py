"""What the ledger proves: who wrote the night's files, which were opened, and that nothing was cut or exchanged."""

import json
from pathlib import Path

from nightshift.checkpoint import sha256_of
from nightshift.rundir import RunDir, StageDir
from schedules.plan import Stage
from verdict.anchored import read_heads, unknown_heads
from verdict.ledger import Chain, Entry, LedgerError, read_chain
from verdict.reasons import Reason, stop
from verdict.seal import Seal

FILE, OPENED, FOUND, ENDED = "file", "opened", "found-before-start", "stage-ended"
"""Kinds of ledger lines: a result file of a stage; a data file that a trainer read; what lay there before."""


def read_night(run: RunDir, seal: Seal) -> tuple[list[Entry], list[Reason], list[str]]:
    """Return tonight's ledger, why it proves nothing (if so), and warnings."""
    try:
        chain = read_chain(run.ledger, seal.nonce)
    except (OSError, LedgerError) as error:
        return [], [stop(f"the ledger is not whole: {error}")], []
    reasons = _first_line(run, chain) + _cut_tail(run, chain)
    heads, warnings = read_heads(seal)
    reasons += [
        stop(f"the ledger is not the one that was anchored: {line}") for line in unknown_heads(heads, chain)
    ]
    return chain.entries, reasons, warnings


def _first_line(run: RunDir, chain: Chain) -> list[Reason]:
    opened = [entry for entry in chain.entries if entry.kind == "night-opened"]
    if not opened or opened[0].facts.get("seal_sha256") != sha256_of(run.seal):
        return [stop("the seal is not the one that the ledger opened with")]
    return []


def _cut_tail(run: RunDir, chain: Chain) -> list[Reason]:
    """A hand-off names the head it was written at; what came after it must be there, and whole."""
    try:
        head = json.loads(run.handoff.read_text())["ledger_head"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError):
        return [stop("handoff.json cannot be read")]
    if chain.torn:
        return [stop("the ledger ends in the middle of a line, after the hand-over")]
    if head not in {entry.sha256 for entry in chain.entries[:-1]}:
        return [stop("the ledger ends before the hand-over that it led to: its tail was cut")]
    return []


def ended_stages(seal: Seal, entries: list[Entry]) -> list[Stage]:
    """Return the stages whose end stands in the ledger."""
    ended = {entry.facts.get("stage") for entry in entries if entry.kind == ENDED}
    return [stage for stage in seal.night.stages if stage.name in ended]


def result_files(folder: StageDir) -> list[Path]:
    """Return what a stage's end records beside checkpoints: results, events, what was opened, the ending."""
    files = [folder.events, folder.exit, folder.opened]
    if folder.out.is_dir():
        files += [path for path in folder.out.rglob("*") if not path.is_symlink()]
    return sorted(path for path in files if path.is_file())


def files_not_of_tonight(run: RunDir, seal: Seal, entries: list[Entry]) -> list[Reason]:
    """Return why results must not be believed: not written by this night, changed since, or of another nonce."""
    recorded = {str(e.facts.get("path")): e.facts.get("sha256") for e in entries if e.kind == FILE}
    reasons = [
        stop(f"{entry.facts.get('path')} lay there before its stage began")
        for entry in entries
        if entry.kind == FOUND
    ]
    for path, digest in recorded.items():
        if not (run.path / path).is_file() or sha256_of(run.path / path) != digest:
            reasons.append(stop(f"{path} is not what this night wrote"))
    for stage in ended_stages(seal, entries):
        for file in result_files(run.stage(stage.name)):
            place = str(file.relative_to(run.path))
            if place not in recorded:
                reasons.append(stop(f"{place} was not written by this night"))
            elif _other_nonce(file, seal.nonce):
                reasons.append(stop(f"{place} carries the nonce of another night"))
    return reasons


def _other_nonce(path: Path, nonce: str) -> bool:
    """Return whether a JSON file names a nonce that is not tonight's."""
    if path.suffix not in (".json", ".jsonl"):
        return False
    try:
        first = path.read_text().split("\n", 1)[0] if path.suffix == ".jsonl" else path.read_text()
        record = json.loads(first)
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("nonce", nonce) not in (nonce, "")


def opened_wrongly(run: RunDir, seal: Seal, entries: list[Entry]) -> tuple[list[Reason], list[str]]:
    """Return why what the trainers read is not what was sealed, and which stages nobody could watch."""
    reasons, warnings = [], []
    stages = ended_stages(seal, entries)
    for stage in stages:
        if not run.stage(stage.name).opened.is_file() and _worked(run, stage):
            warnings.append(f"{stage.title} could not be watched: it does not say which files it opens")
        for facts in _opened(entries, stage):
            test = seal.data.splits["test"]
            if facts.get("path") == test.path or facts.get("sha256") == test.sha256:
                told = (
                    f"{stage.title} opened the test split {Path(test.path).name}, which is the judge's alone"
                )
                reasons.append(stop(told))
    return [*reasons, *_read_instead(run, seal, entries, stages)], warnings


def _opened(entries: list[Entry], stage: Stage) -> list[dict[str, str | float]]:
    return [e.facts for e in entries if e.kind == OPENED and e.facts.get("stage") == stage.name]


def _read_instead(run: RunDir, seal: Seal, entries: list[Entry], stages: list[Stage]) -> list[Reason]:
    """STOP where the stages that left checkpoints read another file of the kind, and never the training split.

    A trainer that reads through a C library is not seen to open anything, and is not accused.
    """
    train = seal.data.splits["train"]
    sealed = {file.sha256 for file in seal.data.splits.values()}
    mine = [f for s in stages if _has_checkpoint(run, s) for f in _opened(entries, s)]
    if any(facts.get("sha256") == train.sha256 for facts in mine):
        return []
    kind = Path(train.path).suffix
    others = [str(f.get("path")) for f in mine if f.get("sha256") not in sealed]
    found = [Path(path).name for path in others if Path(path).suffix == kind]
    if not found:
        return []
    return [stop(f"the sealed training split was never opened; {found[0]} was read, which is something else")]


def _worked(run: RunDir, stage: Stage) -> bool:
    return run.stage(stage.name).events.is_file() or run.stage(stage.name).checkpoints.is_dir()


def _has_checkpoint(run: RunDir, stage: Stage) -> bool:
    return any(run.stage(stage.name).checkpoints.glob("step-*"))
