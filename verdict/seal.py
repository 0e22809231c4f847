"""What was promised before the start: plan, data hashes, seeds, judge's code; written once."""

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.dataset import DataSource
from nightshift.checkpoint import sha256_of, write_atomically
from nightshift.rundir import RunDir
from nightshift.states import NightError
from schedules.budget import Budget, ProcessCosts
from schedules.clock import Clock, clock_from
from schedules.plan import Night, Plan
from schedules.timetable import Timetable, timetable

JUDGE_PACKAGES = ("nightshift", "schedules", "models", "verdict")


class SealError(NightError):
    """A seal that is missing, altered, or does not match what it sealed."""


class SealedFile(BaseModel):
    """A file that must not change between 23:00 and 07:00."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str
    size: int


class SealedData(BaseModel):
    """The data set of this night."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    name: str
    origin: str
    splits: dict[str, SealedFile]
    images: str | None
    facts: dict[str, float | str]
    set_aside: dict[str, int]
    """Kind of problem -> how many items were set aside."""


class SealedWindow(BaseModel):
    """Start and hand-over, UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: datetime
    hand_over: datetime


class Seal(BaseModel):
    """The promise of one night."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
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
    seed: int
    nonce: str
    judge_sha256: str
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


def seal_data(source: DataSource) -> SealedData:
    """Return the data set with the hash of every split."""
    counts: dict[str, int] = {}
    for problem in source.set_aside:
        counts[problem.kind] = counts.get(problem.kind, 0) + 1
    return SealedData(
        kind=source.kind,
        name=source.name,
        origin=str(source.origin),
        splits={name: sealed_file(path) for name, path in source.splits.items()},
        images=str(source.images) if source.images else None,
        facts=dict(source.facts),
        set_aside=counts,
    )


def sealed_file(path: Path) -> SealedFile:
    """Return a file's path, hash and size."""
    return SealedFile(path=str(path.resolve()), sha256=sha256_of(path), size=path.stat().st_size)


def judge_code_sha256() -> str:
    """Return one hash over the code that judges: every module the judge may import from this project."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for package in JUDGE_PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(f"{path.relative_to(root)} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def write_seal(seal: Seal, run: RunDir) -> str:
    """Return the sha256 of the seal's file, now on disk."""
    write_atomically(run.seal, seal.model_dump_json(indent=1))
    return sha256_of(run.seal)


def read_seal(run: RunDir) -> Seal:
    """Return the seal of this run.

    Raises SealError where there is none or it cannot be read.
    """
    try:
        return Seal.model_validate(json.loads(run.seal.read_text()))
    except (OSError, ValueError) as error:
        raise SealError(
            f"{run.seal}: no readable seal, so this is not a run of Nightshift: {error}"
        ) from error


def changed_files(files: Mapping[str, SealedFile]) -> list[str]:
    """Return one line per sealed file that is not what it was at the start."""
    lines = []
    for name, file in files.items():
        path = Path(file.path)
        if not path.is_file():
            lines.append(f"{name}: {path.name} is gone")
        elif path.stat().st_size != file.size or sha256_of(path) != file.sha256:
            lines.append(f"{name}: {path.name} is not the file that was sealed")
    return lines
