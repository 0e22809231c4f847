"""The hand-over: weights and tables to take away, and all that the next night may read of this one."""

import json
import shutil
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from nightshift.checkpoint import damage, read_state, sha256_of, whole_checkpoints, write_atomically
from nightshift.rundir import RunDir
from nightshift.states import Word
from verdict.finding import Verdict, read_verdict
from verdict.seal import Seal

CHECKPOINT_FOLDER, SERVING_FOLDER = "checkpoint", "serving"
USABLE_WORDS = (Word.GO, Word.NO_GAIN)


class HandedFile(BaseModel):
    """One file to take away."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """Relative to the hand-over folder."""
    size: int
    sha256: str


class Handoff(BaseModel):
    """What a night hands over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    night: str
    date: str
    word: Word
    usable: bool
    """Whether the next night may read it; a night that is not believed is never consumed."""
    sentence: str
    handed_over_at: datetime
    deadline: datetime
    on_time: bool
    endings: dict[str, str]
    judged: bool = True
    """Whether the judge came to its end."""
    checkpoint: str | None
    files: tuple[HandedFile, ...]
    nonce: str
    ledger_head: str


def hand_over(
    run: RunDir, seal: Seal, endings: dict[str, str], deadline: datetime, now: datetime, ledger_head: str
) -> Handoff:
    """Return the hand-off, now on disk together with its files."""
    verdict = read_verdict(run)
    checkpoint = _copy_checkpoint(run, verdict)
    _copy_serving(run, seal)
    for stage in seal.night.stages:
        for table in sorted(run.stage(stage.name).out.glob("*.json")):
            target = run.handover / stage.name / table.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(table, target)
    files = [path for path in sorted(run.handover.rglob("*")) if path.is_file()]
    handoff = Handoff(
        night=seal.night.name,
        date=seal.date.isoformat(),
        word=verdict.word,
        usable=verdict.word in USABLE_WORDS,
        sentence=verdict.sentence,
        handed_over_at=now,
        deadline=deadline,
        on_time=now <= deadline,
        endings=endings,
        judged=run.verdict.is_file(),
        checkpoint=checkpoint,
        files=tuple(_handed_file(path, run.handover) for path in files),
        nonce=seal.nonce,
        ledger_head=ledger_head,
    )
    write_atomically(run.handoff, handoff.model_dump_json(indent=1))
    return handoff


def _handed_file(path: Path, folder: Path) -> HandedFile:
    return HandedFile(path=str(path.relative_to(folder)), size=path.stat().st_size, sha256=sha256_of(path))


def _copy_checkpoint(run: RunDir, verdict: Verdict) -> str | None:
    """Return the judged checkpoint's name, copied whole into the hand-over folder, or None."""
    run.handover.mkdir(exist_ok=True)
    if not verdict.checkpoint:
        return None
    source = run.path / verdict.checkpoint
    if damage(source) is not None:
        return None
    shutil.copytree(source, run.handover / CHECKPOINT_FOLDER, dirs_exist_ok=True)
    return verdict.checkpoint


def _copy_serving(run: RunDir, seal: Seal) -> None:
    """Copy the serving bundle, where a stage has built one, so that it can be taken away as it is."""
    for stage in seal.night.stages:
        for path in whole_checkpoints(run.stage(stage.name).checkpoints):
            state = read_state(path)
            if state.get("kind") == SERVING_FOLDER and state.get("nonce") == seal.nonce:
                shutil.copytree(path, run.handover / SERVING_FOLDER, dirs_exist_ok=True)


def read_handoff(run: RunDir) -> Handoff | None:
    """Return the hand-off of a run, or None where it was never handed over."""
    try:
        return Handoff.model_validate(json.loads(run.handoff.read_text()))
    except (OSError, ValueError):
        return None


def usable_handoffs(home: Path, campaign_nights: list[str]) -> dict[str, str]:
    """Return night -> hand-over folder for the newest usable hand-off of each night in this home."""
    newest: dict[str, tuple[datetime, str]] = {}
    for path in home.glob("*/*/handoff.json"):
        handoff = read_handoff(RunDir(path.parent))
        if handoff is None or not handoff.usable or handoff.night not in campaign_nights:
            continue
        known = newest.get(handoff.night)
        if known is None or handoff.handed_over_at > known[0]:
            newest[handoff.night] = (handoff.handed_over_at, str(RunDir(path.parent).handover))
    return {night: folder for night, (_, folder) in newest.items()}
