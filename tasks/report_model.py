"""The morning report as data: exactly one entry of the stable JSON document `{"nights": [...]}`."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, JsonValue

from nightshift.states import Ending, Word
from tasks.handoff import HandedFile
from verdict.finding import Finding, ModalityFinding

Facts = dict[str, JsonValue]
Curve = tuple[tuple[datetime, float], ...]
"""Values a trainer reported, and when (UTC)."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StageReport(_Frozen):
    """One stage, planned and actual (UTC); None where nobody recorded it."""

    name: str
    title: str
    planned_start: datetime | None = None
    planned_end: datetime | None = None
    start: datetime | None = None
    end: datetime | None = None
    ending: Ending | None = None
    """None while the stage runs, or where no record of its end can be read."""
    restarts: int = 0
    notes: tuple[str, ...] = ()


class NightEvent(_Frozen):
    """A restart, a cancel, a lost flow, a moved deadline: what happened, and when (UTC)."""

    at: datetime
    text: str


class DataReport(_Frozen):
    """The data set of the night."""

    name: str = ""
    kind: str = ""
    facts: dict[str, float | str] = {}


class SecondsReport(_Frozen):
    """The ledger of seconds as the report has it."""

    totals: dict[str, float] = {}
    """Class -> seconds of the night; they sum to the window."""
    pieces: tuple[tuple[datetime, datetime, str], ...] = ()
    avoidable: str = ""
    """The largest loss that could be avoided, in a sentence."""


class NightReport(_Frozen):
    """One night as the morning shows it; instants are UTC."""

    night: str
    title: str
    date: str
    word: Word
    sentence: str
    next_step: str
    handed_over_at: datetime | None = None
    deadline: datetime | None = None
    on_time: bool | None = None
    run_dir: str
    report: str
    """Path of the HTML page."""
    decoy: str | None = None
    """What became of tonight's decoy, or None where none was judged."""
    stages: tuple[StageReport, ...] = ()
    criteria: tuple[Finding, ...] = ()
    scores: dict[str, Facts] = {}
    """`validation` and `test`."""
    modalities: dict[str, ModalityFinding] = {}
    pools: tuple[Facts, ...] = ()
    encoders: dict[str, str] = {}
    findings: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    events: tuple[NightEvent, ...] = ()
    curves: dict[str, Curve] = {}
    """`loss`, `best_value` and every `val_*`: the trainers' own, for the eye; the judge never reads them."""
    per_query_gains: tuple[float, ...] = ()
    handed_over: tuple[HandedFile, ...] = ()
    speed: float | None = None
    """1 for a real night; above, a rehearsal that was compressed so many times; None where not known."""
    timezone: str = "UTC"
    gpu: str = ""
    """The device's name, or why there is none."""
    gpu_use: Facts = {}
    """What the sampler saw of it over the stages, or the reason for nothing."""
    data: DataReport = DataReport()
    loss_facts: Facts = {}
    latency: Facts = {}
    ledger_head: str = ""
    anchored: bool = False
    """Whether the head of the ledger left the machine while the night ran."""
    window_start: datetime | None = None
    seconds: SecondsReport = SecondsReport()
    """Where the seconds of the window went."""
    ablation: tuple[Facts, ...] = ()
    """What the trainer tried, with its validation score: the trainer's own, for the eye."""
    evening: str = ""
    """What was known at the start: whether this night could answer its question."""
    evening_lines: tuple[str, ...] = ()
    chosen: str = ""
    """What it chose of these and why, in words."""

    @property
    def rehearsed(self) -> bool:
        """Whether this was a compressed night."""
        return self.speed is not None and self.speed != 1


def nights_document(reports: Sequence[NightReport]) -> dict[str, list[Facts]]:
    """Return the stable JSON document of these nights."""
    return {"nights": [report.model_dump(mode="json") for report in reports]}
