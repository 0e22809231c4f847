"""What was promised before the start: plan, data hashes, seeds, judge's code; written once."""

import json
from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from nightshift.checkpoint import sha256_of, write_atomically
from nightshift.rundir import RunDir
from nightshift.states import NightError
from schedules.budget import Budget, ProcessCosts
from schedules.clock import Clock, clock_from
from schedules.plan import Night, Plan
from schedules.timetable import Timetable, timetable

METRIC = (
    "nDCG@10: gain 2^relevance - 1, discount 1/log2(rank + 1), ties by expectation; queries without a relevant "
    "item or with one grade only are left out on both sides and counted"
)
OLD = "this run was sealed by an older Nightshift; judge it with the version that ran it"


class SealError(NightError):
    """A seal that is missing, altered, or does not match what it sealed."""


class SealedFile(BaseModel):
    """A file that must not change between 23:00 and 07:00."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str
    size: int


class SealedSplit(BaseModel):
    """What a split holds, beyond the bytes of its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queries: int
    pools: dict[str, str]
    """Query -> hash of its candidates' ids, for the test split; every system is scored on these."""
    baseline: str
    """Hash of V1.0's scores over all pools; empty where V1.0 is made of features."""


class SealedPictures(BaseModel):
    """Every picture that a split names, as one hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    sha256: str


class SealedData(BaseModel):
    """The data set of this night."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    name: str
    origin: str
    splits: dict[str, SealedFile]
    images: str | None
    pictures: SealedPictures | None = None
    """What every picture was, or None where no item has one."""
    contents: dict[str, SealedSplit] = {}
    facts: dict[str, float | str]
    set_aside: dict[str, int]
    """Kind of problem -> how many items were set aside."""


class SealedPreflight(BaseModel):
    """What was known at 23:00 of the question that the night is to answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sentence: str
    """One sentence: whether tonight can answer."""
    can_answer: bool
    halted: tuple[str, ...] = ()
    """Why no stage was started: a leak, or a metric that must not be believed."""
    lines: tuple[str, ...] = ()
    """Everything else that was looked at, one sentence each."""
    minimum_detectable_effect: float | None = None
    head_room: float | None = None
    compliance_queries: int | None = None
    """Queries that showing Compliance@1 kept would take, at the spread seen on validation."""
    left_out: tuple[str, ...] = ()
    """Test queries that stand in training too and are not judged."""


class SealedWindow(BaseModel):
    """Start and hand-over, UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: datetime
    hand_over: datetime


class Seal(BaseModel):
    """The promise of one night."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[2] = 2
    night: Night
    plan: Plan
    date: date
    timezone: str
    window: SealedWindow
    speed: float
    clock: str | None
    """`NIGHT_CLOCK`, or None for a real night."""
    data: SealedData
    handoffs: dict[str, str]
    """Night -> hand-over folder of the earlier usable night that this one may read."""
    home: str
    plan_dir: str
    """Folder that relative paths in a foreign trainer's command start from."""
    device: str
    gpus: tuple[str, ...] = ()
    """UUIDs of the GPUs that this night holds and samples, the least busy of them judged."""
    cuda_visible: str | None = None
    """`CUDA_VISIBLE_DEVICES` of its trainers, or None where it is not set."""
    seed: int
    nonce: str
    judge_sha256: str
    code: dict[str, str] = {}
    """Module of this project, or file beside a foreign trainer, -> its sha256."""
    metric: str = METRIC
    """How nDCG is defined."""
    preflight: SealedPreflight | None = None
    silence_s: float
    """Real seconds without the flow after which the nightwatch goes on alone."""
    costs: dict[str, float]

    def timetable(self) -> Timetable:
        """Return the night's stages in UTC."""
        return timetable(self.plan, self.night, self.date)

    def make_clock(self) -> Clock:
        """Return the clock this night runs by."""
        return clock_from(self.clock)

    def budget(self, hand_over: datetime) -> Budget:
        """Return the deadline arithmetic for this hand-over."""
        return Budget(self.timetable(), hand_over, self.speed, ProcessCosts(**self.costs))


def write_seal(seal: Seal, run: RunDir) -> str:
    """Return the sha256 of the seal's file, now on disk."""
    write_atomically(run.seal, seal.model_dump_json(indent=1))
    return sha256_of(run.seal)


def read_seal(run: RunDir) -> Seal:
    """Return the seal of this run.

    Raises SealError where there is none or it cannot be read.
    """
    try:
        record = json.loads(run.seal.read_text())
        if isinstance(record, dict) and record.get("schema_version") == 1:
            raise SealError(f"{run.seal}: {OLD}")
        return Seal.model_validate(record)
    except (OSError, ValueError) as error:
        raise SealError(
            f"{run.seal}: no readable seal, so this is not a run of Nightshift: {error}"
        ) from error
