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
    test = Path(seal.data.splits["test"].path)
    train = seal.data.splits["train"]
    reasons, warnings = [], []
    read_train = False
    audited = True
    for stage in ended_stages(seal, entries):
        mine = [e.facts for e in entries if e.kind == OPENED and e.facts.get("stage") == stage.name]
        if not run.stage(stage.name).opened.is_file() and _worked(run, stage):
            warnings.append(f"{stage.title} could not be watched: it does not say which files it opens")
            audited = False
        for facts in mine:
            path, digest = str(facts.get("path")), facts.get("sha256")
            if path == str(test) or digest == seal.data.splits["test"].sha256:
                reasons.append(
                    stop(f"{stage.title} opened the test split {test.name}, which is the judge's alone")
                )
            read_train = read_train or (digest == train.sha256 and _has_checkpoint(run, stage))
    if (
        audited
        and not read_train
        and any(_has_checkpoint(run, stage) for stage in ended_stages(seal, entries))
    ):
        reasons.append(
            stop("no stage opened the sealed training split: what was trained on is something else")
        )
    return reasons, warnings


def _worked(run: RunDir, stage: Stage) -> bool:
    return run.stage(stage.name).events.is_file() or run.stage(stage.name).checkpoints.is_dir()


def _has_checkpoint(run: RunDir, stage: Stage) -> bool:
    return any(run.stage(stage.name).checkpoints.glob("step-*"))
