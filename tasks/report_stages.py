"""The stages of the report: what the seal promised, the status saw, and `exit.json` recorded."""

from datetime import datetime

from nightshift.rundir import RunDir
from nightshift.states import Ending
from tasks.report_model import StageReport
from tasks.report_records import (
    ExitRecord,
    RunFiles,
    SealRecord,
    StageRecord,
    StageStatusRecord,
    StatusRecord,
)


def read_stages(
    run: RunDir, files: RunFiles, seal: SealRecord | None, status: StatusRecord | None, ended: bool
) -> tuple[StageReport, ...]:
    """Return the night's stages in order; where the night has ended, each must have its `exit.json`."""
    seen = {stage.name: stage for stage in status.stages} if status else {}
    return tuple(
        _stage(stage, seen.get(stage.name), files.read(run.stage(stage.name).exit, ExitRecord, needed=ended))
        for stage in _named(run, seal, status)
    )


def _named(run: RunDir, seal: SealRecord | None, status: StatusRecord | None) -> tuple[StageRecord, ...]:
    """Return the stages by the best source that is left: seal, status, folders."""
    if seal:
        return seal.night.stages
    if status:
        return tuple(StageRecord(name=stage.name, title=stage.name) for stage in status.stages)
    folders = sorted(path.name for path in (run.path / "stages").glob("*") if path.is_dir())
    return tuple(StageRecord(name=name, title=name) for name in folders)


def _stage(stage: StageRecord, seen: StageStatusRecord | None, ended: ExitRecord | None) -> StageReport:
    seen = seen or StageStatusRecord(name=stage.name)
    attempts = ended.attempts if ended else ()
    return StageReport(
        name=stage.name,
        title=stage.title,
        planned_start=seen.planned_start,
        planned_end=seen.planned_end,
        start=seen.start or _first(*(attempt.start for attempt in attempts)),
        end=seen.end or _first(*(attempt.end for attempt in reversed(attempts))),
        ending=ended.ending if ended else _ending(seen.ending),
        restarts=max(seen.restarts, len(attempts) - 1),
        notes=ended.notes if ended and ended.notes else seen.notes,
    )


def _first(*instants: datetime | None) -> datetime | None:
    return next((instant for instant in instants if instant), None)


def _ending(text: str) -> Ending | None:
    return Ending(text) if text in set(Ending) else None
