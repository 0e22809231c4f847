"""One trainer's side of the contract, once its environment is read: what it says, saves, and is told."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from nightshift import events, faults
from nightshift.checkpoint import write_atomically, write_checkpoint
from nightshift.instant import RehearsalTime, boottime_s, parse_utc, wall_now
from nightshift.rundir import StageDir
from nightshift.states import TrainerExit

SCHEMA = 1
"""Version of the contract (`NIGHT_SCHEMA`)."""
DEADLINE, STOP_ASKED = "deadline", "asked to stop"
"""Reasons of `finished` for work that was cut."""
LOOK_EVERY_S = 0.1
"""A trainer asks `should_stop` at every step; it looks at files and clocks at most this often (real seconds)."""
BEAT_EVERY_S = 5.0
"""A trainer that passes `should_stop` or `beat` says so at most this often (real seconds)."""


@dataclass
class TrainerRun:
    """One trainer's side of the contract."""

    folder: StageDir
    seed: int
    nonce: str
    device: str
    resume: Path | None
    """Newest whole checkpoint to go on from, or None at the first start."""
    microbatch: int | None
    """Samples per forward pass after an out-of-memory restart, or None."""
    rehearsal: RehearsalTime | None
    deadline: datetime | None
    """When to be finished (UTC), or None outside of a night; moved by the control file."""
    inputs: dict[str, Path] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    """The sealed list, `seed` first: trained one after another by whoever has the time."""
    lr_factor: float = 1.0
    """Halved by the nightwatch each time that numbers were not finite."""
    skip_step: int | None = None
    """A step whose data made numbers not finite: pass over it."""
    replay: Path | None = None
    """A checkpoint whose training is to be repeated: `models.share_log`."""
    second_sink: Path | None = None
    """Where a checkpoint goes that its own folder cannot take."""
    rank: int = 0
    """Which of torchrun's processes this is: rank 0 alone speaks and saves."""
    stop_asked: bool = False
    stop_reason: str = ""
    """Why `should_stop` became true; once true, it stays so."""
    opened_at: datetime = field(init=False)
    """When the stage began, restarts included: the control file's `start`, else now."""
    heard_s: float = field(init=False, default=0.0)
    """Boot-time second of the last line said."""
    step: int = field(init=False, default=0)
    """The last step that was told."""
    _looked: tuple[float, float] = field(init=False, default=(0.0, 0.0))
    """Boot-time second until which "go on" holds, and the reserve for which it was said."""

    def __post_init__(self) -> None:
        self.opened_at = self.now()
        self.seeds = self.seeds or (self.seed,)

    def now(self) -> datetime:
        """Return the night's present (UTC): wall time, or the rehearsal's compressed time."""
        return self.rehearsal.now() if self.rehearsal else wall_now()

    def seconds_left(self) -> float:
        """Return how many real seconds remain until the deadline (infinite outside of a night)."""
        if self.deadline is None:
            return float("inf")
        speed = self.rehearsal.speed if self.rehearsal else 1.0
        return (self.deadline - self.now()).total_seconds() / speed

    def share(self, done: float, planned: float) -> float:
        """Return the used share of the schedule, 0..1: the larger of time used and work done."""
        work = done / planned if planned > 0 else 1.0
        if self.deadline is None:
            return min(1.0, work)
        budget = (self.deadline - self.opened_at).total_seconds()
        used = (self.now() - self.opened_at).total_seconds()
        return min(1.0, max(work, used / budget if budget > 0 else 1.0))

    def should_stop(self, reserve_s: float = 0.0) -> bool:
        """Return whether to save and finish now; `reserve_s` real seconds are kept for the ending.

        Ask at every step: most answers cost a reading of the clock (what they cost beside a training is
        measured by `benchmarks/supervision_cost.py`).
        """
        now_s = boottime_s()
        until_s, reserved_s = self._looked
        if now_s < until_s and reserve_s <= reserved_s and not self.stop_asked:
            return False
        self.read_control()
        self.beat()
        if self.stop_asked or self.seconds_left() <= reserve_s:
            self.stop_reason = STOP_ASKED if self.stop_asked else DEADLINE
        self._looked = (0.0 if self.stop_reason else now_s + LOOK_EVERY_S), reserve_s
        return bool(self.stop_reason)

    def started(self, **facts: str) -> None:
        """Say that work begins."""
        self._say("started", pid=os.getpid(), schema=SCHEMA, facts=facts)

    def phase(self, name: str, within_s: float = 0.0) -> None:
        """Say what the time goes into from now on: one of `events.PHASES`.

        `within_s`: how many real seconds it may be silent; 0 leaves that to what the nightwatch has learnt.
        """
        self._say("phase", name=name, within_s=within_s)

    def beat(self) -> None:
        """Say that the training thread lives; call it from any long loop, as often as you like."""
        if boottime_s() - self.heard_s >= BEAT_EVERY_S:
            self._say("beat")
        self._suffer()

    def progress(self, step: int, samples: int, total: int, share: float) -> None:
        """Say how far it is; also reads the control file, so that a moved deadline arrives here."""
        self._say("progress", step=step, samples=samples, total=total, share=round(share, 6))
        self.step = step
        self.read_control()
        self._suffer()

    def metrics(self, step: int, **values: float) -> None:
        """Say what was measured; numbers that are not finite are named instead."""
        finite, nonfinite = events.split_finite(values)
        self._say("metrics", step=step, values=finite, nonfinite=nonfinite)

    def device_facts(self, **values: float) -> None:
        """Say once what was measured of the device and the work: `flops_per_sample`, `ceiling_flops_per_s`."""
        self._say("device", values=events.split_finite(values)[0])

    def save(self, step: int, write: Callable[[Path], None], **state: object) -> Path:
        """Return the checkpoint that `write` filled, whole on disk before anybody hears of it.

        A disk that refuses it never stops the training: the second sink is tried, and where that fails
        too, it is said and the path returned does not exist. Ranks beyond 0 save nothing.
        """
        if self.rank:
            return self.folder.checkpoints / f"step-{step:06d}"
        for sink in filter(None, (self.folder.checkpoints, self.second_sink)):
            try:
                path = write_checkpoint(sink, step, write, state, self.nonce)
            except OSError as error:
                self._say("checkpoint-failed", step=step, reason=str(error), path=str(sink))
                continue
            home = path.is_relative_to(self.folder.path)
            self._say("checkpoint", step=step, path=str(path.relative_to(self.folder.path) if home else path))
            return path
        return self.folder.checkpoints / f"step-{step:06d}"

    def write_result(self, name: str, content: dict[str, object]) -> Path:
        """Return the file `out/NAME.json`; it carries the night's nonce, so that an old one is not taken for it."""
        path = self.folder.out / f"{name}.json"
        write_atomically(path, json.dumps({"nonce": self.nonce, **content}, indent=1, allow_nan=False))
        return path

    def finish(self, reason: str = "") -> None:
        """Say that the work is over, and why: `reason`, else what made `should_stop` true, else done."""
        self._say("finished", reason=reason or self.stop_reason or "done")

    def out_of_memory(self) -> NoReturn:
        """Exit so that the nightwatch starts this trainer again with a smaller micro-batch."""
        self._say("finished", reason="out of memory")
        sys.exit(TrainerExit.OUT_OF_MEMORY)

    def not_finite(self, step: int, name: str = "loss") -> NoReturn:
        """Exit so that the nightwatch goes on from the last good checkpoint, at half the learning rate."""
        self._say("metrics", step=step, values={}, nonfinite=[name])
        self._say("finished", reason=f"{name} is not finite at step {step}")
        sys.exit(TrainerExit.NOT_FINITE)

    def _say(self, kind: str, **fields: object) -> None:
        self.heard_s = boottime_s()
        if self.rank:
            return
        try:
            events.append_line(self.folder.events, {"kind": kind, "at": self.now().isoformat(), **fields})
        except OSError as error:  # a full disk must not stop a training
            print(f"nightshift: a line could not be written: {error}", file=sys.stderr)

    def _suffer(self) -> None:
        """Have the fault that a rehearsal wants."""
        word = faults.take_fault(self.folder.fault) if self.rehearsal and not self.rank else ""
        if word == faults.OUT_OF_MEMORY:
            self.out_of_memory()
        elif word == faults.NOT_FINITE:
            self.not_finite(self.step)
        elif word == faults.HANG:
            faults.hang()

    def read_control(self) -> None:
        """Take in what the nightwatch wants now; `progress` and `should_stop` do so by themselves."""
        try:
            control = json.loads(self.folder.control.read_text())
            deadline = parse_utc(control["deadline"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        self.deadline = deadline
        self.opened_at = parse_utc(control["start"]) if "start" in control else self.opened_at
        self.lr_factor = float(control.get("lr_factor", 1.0))
        self.stop_asked = self.stop_asked or bool(control.get("stop", False))

    def _on_term(self, _signal: int, _frame: FrameType | None) -> None:
        self.stop_asked = True
