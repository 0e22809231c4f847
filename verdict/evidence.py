"""Everything the judge checks before it believes a number: chain, seal, checkpoint, endings."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from models.stage_best import best_by_design, chosen
from nightshift.checkpoint import STEP_FOLDER, damage, manifest_sha256, read_state
from nightshift.given_scores import KIND
from nightshift.rundir import RunDir
from nightshift.states import Ending, Word
from verdict.chain_evidence import files_not_of_tonight, opened_wrongly, read_night
from verdict.ledger import Entry
from verdict.observer import observe
from verdict.reasons import Reason, stop
from verdict.seal import Seal
from verdict.sealed_evidence import changed_since_start, other_baseline

BAD_ENDINGS = (Ending.CRASHED, Ending.STALLED, Ending.OUT_OF_MEMORY, Ending.DIVERGED, Ending.NOT_STARTED)


@dataclass
class Evidence:
    """What the run directory proves, and what speaks against it."""

    reasons: list[Reason] = field(default_factory=list)
    """Fake, stale, tampered, or not the work that was planned."""
    broken: dict[str, str] = field(default_factory=dict)
    """Stage -> why its work is incomplete."""
    warnings: list[str] = field(default_factory=list)
    checkpoint: Path | None = None
    stage: str = ""
    """The stage that wrote the checkpoint."""
    selection_score: float | None = None
    """The trainer's own validation score, for selection only."""
    seed: int | None = None
    """The seed it was trained with, where the trainer says so."""
    siblings: dict[int, Path] = field(default_factory=dict)
    """Seed -> best checkpoint of the same design, the chosen one among them."""
    reference: dict[int, Path] = field(default_factory=dict)
    """Seed -> best checkpoint of the plain alternative that the trainer compares its design with."""
    reference_words: str = ""

    @property
    def gave_scores(self) -> bool:
        """Whether the checkpoint holds scores instead of a model that could be run here."""
        return self.checkpoint is not None and read_state(self.checkpoint).get("kind") == KIND

    @property
    def stopped(self) -> bool:
        """Whether what numbers would be computed from is not sound."""
        return any(reason.word is Word.STOP for reason in self.reasons)


def gather(run: RunDir, seal: Seal) -> Evidence:
    """Return the evidence of one run, its checkpoint chosen by selection score among this chain's."""
    evidence = Evidence()
    evidence.reasons += changed_since_start(run, seal)
    entries, reasons, warnings = read_night(run, seal)
    evidence.reasons += reasons
    evidence.warnings += warnings
    if not reasons:
        evidence.reasons += files_not_of_tonight(run, seal, entries)
        opened, unwatched = opened_wrongly(run, seal, entries)
        evidence.reasons += opened
        evidence.warnings += unwatched
    _choose_checkpoint(run, seal, entries, evidence)
    _read_endings(run, seal, evidence)
    if evidence.checkpoint is not None:
        evidence.reasons += observe(run, seal, evidence.stage)
        evidence.reasons += other_baseline(seal)
    return evidence


def _choose_checkpoint(run: RunDir, seal: Seal, entries: list[Entry], evidence: Evidence) -> None:
    recorded = {entry.facts.get("manifest_sha256") for entry in entries if entry.kind == "checkpoint"}
    candidates: list[tuple[float, Path, str]] = []
    for stage in seal.night.stages:
        for path in _step_folders(run.stage(stage.name).checkpoints):
            why = _not_tonights(path, seal.nonce, recorded)
            if why:
                evidence.reasons.append(stop(f"{stage.name}/{path.name} {why}"))
                continue
            state = read_state(path)
            score = state.get("selection_score")
            if isinstance(score, int | float) and _judged_kind(str(state.get("kind", "")), seal):
                candidates.append((float(score), path, stage.name))
    if candidates:
        _take_best(run, seal, candidates, evidence)


def _step_folders(checkpoints: Path) -> list[Path]:
    if not checkpoints.is_dir():
        return []
    named = [path for path in checkpoints.iterdir() if STEP_FOLDER.fullmatch(path.name)]
    return sorted(named, key=lambda path: int(path.name.split("-")[1]))


def _not_tonights(path: Path, nonce: str, recorded: set[str | float | None]) -> str:
    """Return why a checkpoint is not whole or not of this night, or an empty text."""
    harm = damage(path)
    if harm is not None:
        return f"was damaged or altered: {harm}"
    if read_state(path).get("nonce") != nonce or manifest_sha256(path) not in recorded:
        return "was not written by this night"
    return ""


def _take_best(
    run: RunDir, seal: Seal, candidates: list[tuple[float, Path, str]], evidence: Evidence
) -> None:
    """Choose by selection score among the latest stage's chosen design, or among all where none is chosen.

    The choice is the trainer's, made on validation; whatever it is, the judge scores it itself.
    """
    for stage in reversed(seal.night.stages):
        folder = run.stage(stage.name).path
        design = chosen(folder)
        kept = [c for c in candidates if c[2] == stage.name and read_state(c[1]).get("design") == design]
        if design is not None and kept:
            mine = [path for _, path, name in candidates if name == stage.name]
            by_design = best_by_design(mine)
            evidence.siblings = {seed: path for (name, seed), path in by_design.items() if name == design}
            other = chosen(folder, "reference")
            if other != design:
                everyone = best_by_design(path for _, path, _ in candidates)
                evidence.reference = {s: path for (name, s), path in everyone.items() if name == other}
                evidence.reference_words = chosen(folder, "reference_words") or other or ""
            candidates = kept
            break
    evidence.selection_score, evidence.checkpoint, evidence.stage = max(candidates, key=lambda c: c[0])
    seed = read_state(evidence.checkpoint).get("seed")
    evidence.seed = seed if isinstance(seed, int) else None


def _judged_kind(kind: str, seal: Seal) -> bool:
    wanted = {"ranking": ("fusion", "ranker", "ensemble", KIND), "candidates": ("candidates",), "none": ()}
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
