"""Everything the judge checks before it believes a number: chain, seal, checkpoint, endings."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from nightshift.checkpoint import manifest_sha256, read_state, sha256_of, whole_checkpoints
from nightshift.rundir import RunDir
from nightshift.states import Ending
from verdict.ledger import Entry, LedgerError, read_ledger
from verdict.seal import Seal, changed_files, judge_code_sha256

BAD_ENDINGS = (Ending.CRASHED, Ending.STALLED, Ending.OUT_OF_MEMORY, Ending.DIVERGED, Ending.NOT_STARTED)


@dataclass
class Evidence:
    """What the run directory proves, and what speaks against it."""

    stop: list[str] = field(default_factory=list)
    """Fake, stale or tampered: reasons for STOP."""
    broken: dict[str, str] = field(default_factory=dict)
    """Stage -> why its work is incomplete."""
    warnings: list[str] = field(default_factory=list)
    checkpoint: Path | None = None
    stage: str = ""
    """The stage that wrote the checkpoint."""
    selection_score: float | None = None
    """The trainer's own validation score, for selection only."""


def gather(run: RunDir, seal: Seal) -> Evidence:
    """Return the evidence of one run, its checkpoint chosen by selection score among this chain's."""
    evidence = Evidence()
    entries = _chain(run, seal, evidence)
    if judge_code_sha256() != seal.judge_sha256:
        evidence.warnings.append("the code changed after the night was sealed")
    evidence.stop += [f"data changed after the start: {line}" for line in changed_files(seal.data.splits)]
    _choose_checkpoint(run, seal, entries, evidence)
    _read_endings(run, seal, evidence)
    return evidence


def _chain(run: RunDir, seal: Seal, evidence: Evidence) -> list[Entry]:
    try:
        entries = read_ledger(run.ledger, seal.nonce)
    except (OSError, LedgerError) as error:
        evidence.stop.append(f"the ledger is not whole: {error}")
        return []
    opened = [entry for entry in entries if entry.kind == "night-opened"]
    if not opened or opened[0].facts.get("seal_sha256") != sha256_of(run.seal):
        evidence.stop.append("the seal is not the one that the ledger opened with")
    return entries


def _choose_checkpoint(run: RunDir, seal: Seal, entries: list[Entry], evidence: Evidence) -> None:
    recorded = {entry.facts.get("manifest_sha256") for entry in entries if entry.kind == "checkpoint"}
    candidates: list[tuple[float, Path, str]] = []
    for stage in seal.night.stages:
        for path in whole_checkpoints(run.stage(stage.name).checkpoints):
            state = read_state(path)
            if state.get("nonce") != seal.nonce or manifest_sha256(path) not in recorded:
                evidence.stop.append(f"{stage.name}/{path.name} was not written by this night")
                continue
            score = state.get("selection_score")
            if isinstance(score, int | float) and _judged_kind(str(state.get("kind", "")), seal):
                candidates.append((float(score), path, stage.name))
    if candidates:
        evidence.selection_score, evidence.checkpoint, evidence.stage = max(
            candidates, key=lambda candidate: candidate[0]
        )


def _judged_kind(kind: str, seal: Seal) -> bool:
    wanted = {"ranking": ("fusion", "ranker"), "candidates": ("candidates",), "none": ()}
    return kind in wanted[seal.night.judge]


def _read_endings(run: RunDir, seal: Seal, evidence: Evidence) -> None:
    for stage in seal.night.stages:
        try:
            record = json.loads(run.stage(stage.name).exit.read_text())
            ending, notes = Ending(record["ending"]), [str(note) for note in record.get("notes", [])]
        except (OSError, ValueError, KeyError):
            evidence.broken[stage.name] = f"{stage.title}: no record of how it ended"
            continue
        told = f"{stage.title}: {ending.replace('_', ' ').lower()}" + (f" ({notes[-1]})" if notes else "")
        if ending == Ending.NOT_STARTED and stage.name != evidence.stage:
            evidence.warnings.append(told)
        elif ending in BAD_ENDINGS:
            evidence.broken[stage.name] = told
        elif ending == Ending.CANCELLED:
            evidence.warnings.append(f"{stage.title} was cut short by a person")
