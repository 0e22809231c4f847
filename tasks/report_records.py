"""The files of a run as the report reads them: lenient about what is more, honest about what is missing."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from nightshift.instant import parse_utc
from nightshift.states import Ending, Word
from schedules.plan import Criterion
from tasks.handoff import HandedFile

Record = TypeVar("Record", bound=BaseModel)


def _instant(value: object) -> datetime | None:
    """Return the instant in UTC, or None for the empty text that stands for "not yet"."""
    return parse_utc(str(value)) if value else None


Instant = Annotated[datetime | None, BeforeValidator(_instant)]


class _Lenient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class StageRecord(_Lenient):
    """A stage in the seal: its name and title."""

    name: str
    title: str


class NightRecord(_Lenient):
    """The night in the seal."""

    name: str
    title: str
    stages: tuple[StageRecord, ...] = ()
    criteria: tuple[Criterion, ...] = ()


class WindowRecord(_Lenient):
    """The night's window."""

    start: Instant
    hand_over: Instant


class DataRecord(_Lenient):
    """The data set in the seal."""

    name: str = ""
    kind: str = ""
    facts: dict[str, float | str] = {}
    set_aside: dict[str, int] = {}


class PreflightRecord(_Lenient):
    """What the report shows of the verdict at the start."""

    sentence: str = ""
    can_answer: bool = True
    lines: tuple[str, ...] = ()


class SealRecord(_Lenient):
    """What the report shows of `seal.json`."""

    night: NightRecord
    date: str
    timezone: str
    speed: float
    device: str = ""
    gpus: tuple[str, ...] = ()
    window: WindowRecord
    data: DataRecord = DataRecord()
    nonce: str = ""
    preflight: PreflightRecord | None = None


class StageStatusRecord(_Lenient):
    """One stage of `status.json`."""

    name: str
    planned_start: Instant = None
    planned_end: Instant = None
    start: Instant = None
    end: Instant = None
    ending: str = ""
    restarts: int = 0
    notes: tuple[str, ...] = ()


class NoteRecord(_Lenient):
    """Something worth reading in the morning."""

    at: Instant
    text: str


class StatusRecord(_Lenient):
    """What the report shows of `status.json`."""

    state: Literal["running", "handed_over"]
    step: str = ""
    now: Instant = None
    hand_over: Instant = None
    gpu: str = ""
    stages: tuple[StageStatusRecord, ...]
    notes: tuple[NoteRecord, ...] = ()


class AttemptRecord(_Lenient):
    """One process of a stage."""

    start: Instant
    end: Instant


class ExitRecord(_Lenient):
    """`exit.json` of a stage."""

    ending: Ending
    attempts: tuple[AttemptRecord, ...] = ()
    notes: tuple[str, ...] = ()


class AblationRecord(_Lenient):
    """One design that a trainer tried."""

    words: str
    ndcg_at_10: float
    seeds: dict[str, float] = {}


class ChoiceRecord(_Lenient):
    """`choice.json` of a stage."""

    words: str = ""
    why: str = ""
    ablation: tuple[AblationRecord, ...] = ()


class HandoffRecord(_Lenient):
    """What the report shows of `handoff.json`."""

    word: Word
    sentence: str = ""
    handed_over_at: Instant
    deadline: Instant = None
    on_time: bool | None = None
    files: tuple[HandedFile, ...] = ()
    ledger_head: str = ""


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@dataclass
class RunFiles:
    """The documents of one run directory; None where one is missing or broken, with the gap named."""

    root: Path
    gaps: list[str] = field(default_factory=list)
    """One line per file that is missing or cannot be read."""

    def read(self, path: Path, kind: type[Record], needed: bool = True) -> Record | None:
        """Return the document at `path`, or None; what is needed and absent is a gap, broken always is."""
        name = path.relative_to(self.root)
        try:
            return kind.model_validate(json.loads(path.read_bytes(), parse_constant=_refuse_constant))
        except FileNotFoundError:
            if needed:
                self.gaps.append(f"{name} is missing")
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            self.gaps.append(f"{name} is broken at {place or 'its top'}: {first['msg']}")
        except (OSError, ValueError, RecursionError) as error:
            self.gaps.append(f"{name} cannot be read: {error}")
        return None
