"""The contract in ten lines, for a trainer in any framework (standard library only).

    from nightshift.trainer import open_run

    run = open_run()                                   # reads the environment, says `started`
    model, first = load(run.resume) if run.resume else (new_model(run.seed), 0)
    for step in range(first, steps):
        share = run.share(step, steps)                 # 0..1: anneal the learning rate along it
        loss = train_one(model, lr=3e-4 * (1 - share) * run.lr_factor)
        run.progress(step, samples=step * 64, total=steps * 64, share=share)
        run.metrics(step, loss=loss)
        if run.should_stop():
            break
    run.save(step, model.write_to, selection_score=score)
    run.finish()

Outside of a night the same script runs with no deadline and writes to `./nightshift-run/`.
"""

import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from nightshift import events
from nightshift.checkpoint import write_atomically, write_checkpoint
from nightshift.instant import RehearsalTime, parse_utc, wall_now
from nightshift.opened import audit_opens
from nightshift.rundir import StageDir
from nightshift.states import TrainerExit

SCHEMA = 1
"""Version of the contract (`NIGHT_SCHEMA`)."""
DEADLINE, STOP_ASKED = "deadline", "asked to stop"
"""Reasons of `finished` for work that was cut."""


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
    stop_asked: bool = False
    stop_reason: str = ""
    """Why `should_stop` became true; once true, it stays so."""
    opened_at: datetime = field(init=False)
    """When the stage began, restarts included: the control file's `start`, else now."""

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
        """Return whether to save and finish now; `reserve_s` real seconds are kept for the ending."""
        self._read_control()
        if self.stop_asked or self.seconds_left() <= reserve_s:
            self.stop_reason = STOP_ASKED if self.stop_asked else DEADLINE
        return bool(self.stop_reason)

    def started(self, **facts: str) -> None:
        """Say that work begins."""
        self._say("started", pid=os.getpid(), schema=SCHEMA, facts=facts)

    def phase(self, name: str) -> None:
        """Say what the time goes into from now on: one of `events.PHASES`."""
        self._say("phase", name=name)

    def progress(self, step: int, samples: int, total: int, share: float) -> None:
        """Say how far it is; also reads the control file, so that a moved deadline arrives here."""
        self._say("progress", step=step, samples=samples, total=total, share=round(share, 6))
        self._read_control()

    def metrics(self, step: int, **values: float) -> None:
        """Say what was measured; numbers that are not finite are named instead."""
        finite, nonfinite = events.split_finite(values)
        self._say("metrics", step=step, values=finite, nonfinite=nonfinite)

    def save(self, step: int, write: Callable[[Path], None], **state: object) -> Path:
        """Return the checkpoint that `write` filled, whole on disk before anybody hears of it."""
        path = write_checkpoint(self.folder.checkpoints, step, write, state, self.nonce)
        self._say("checkpoint", step=step, path=str(path.relative_to(self.folder.path)))
        return path

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

    def _say(self, kind: str, **fields: object) -> None:
        events.append_line(self.folder.events, {"kind": kind, "at": self.now().isoformat(), **fields})

    def _read_control(self) -> None:
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


def _path_from(name: str) -> Path | None:
    return Path(os.environ[name]) if os.environ.get(name) else None


def open_run() -> TrainerRun:
    """Return this trainer's run as the environment gives it, signals in place, `started` said.

    SIGTERM asks for a last checkpoint (`should_stop` becomes true); SIGUSR1 dumps every stack
    to stderr, also while the main thread sits in C code.
    """
    folder = StageDir(_path_from("NIGHT_RUN_DIR") or Path("nightshift-run"))
    folder.out.mkdir(parents=True, exist_ok=True)
    inputs_file = _path_from("NIGHT_INPUTS")
    inputs = json.loads(inputs_file.read_text()) if inputs_file else {}
    clock, deadline = os.environ.get("NIGHT_CLOCK"), os.environ.get("NIGHT_DEADLINE")
    microbatch = os.environ.get("NIGHT_MICROBATCH")
    seed = os.environ.get("NIGHT_SEED", "0")
    if inputs_file:
        cache = [Path(inputs["cache"]) / "embeddings"] if "cache" in inputs else []
        audit_opens(folder.opened, (folder.path.parents[1], *cache))
    run = TrainerRun(
        folder=folder,
        seed=int(seed),
        seeds=tuple(int(one) for one in os.environ.get("NIGHT_SEEDS", seed).split(",")),
        nonce=os.environ.get("NIGHT_NONCE", ""),
        device=os.environ.get("NIGHT_DEVICE", "cpu"),
        resume=_path_from("NIGHT_RESUME"),
        microbatch=int(microbatch) if microbatch else None,
        rehearsal=RehearsalTime.parse(clock) if clock else None,
        deadline=parse_utc(deadline) if deadline else None,
        inputs={name: Path(path) for name, path in inputs.items()},
    )
    signal.signal(signal.SIGTERM, run._on_term)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    run._read_control()
    run.started()
    return run
