"""One stage from start to ending: attempts, restarts from the newest whole checkpoint, the deadline."""

import json
import os
import select
import signal
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from nightshift.checkpoint import damage, manifest_sha256, newest_whole, write_atomically
from nightshift.events import Event, read_events
from nightshift.rundir import RunDir
from nightshift.states import Ending, NightError, TrainerExit
from nightshift.trainer import DEADLINE, STOP_ASKED
from schedules.clock import Clock, real_duration, real_seconds_until
from schedules.plan import Stage
from tasks.night_board import NightBoard
from tasks.night_status import StageStatus
from tasks.stage_record import record_found, record_results
from tasks.trainer_process import signal_group, start_trainer, write_control, write_inputs
from verdict.ledger import Ledger
from verdict.seal import Seal

LOOK_EVERY_S = 0.5
"""Real seconds between looks at a running trainer's event file; endings and deadlines need no look."""
RESTARTS_WITHOUT_PROGRESS = 3


@dataclass(frozen=True)
class Attempt:
    """One process of a stage; instants are ISO 8601 UTC."""

    pid: int
    start: str
    end: str
    exit_code: int
    """Negative: the signal that ended it."""


class StageRun:
    """Runs one stage; the nightwatch owns it."""

    def __init__(
        self,
        run: RunDir,
        seal: Seal,
        stage: Stage,
        clock: Clock,
        ledger: Ledger,
        board: NightBoard,
        status: StageStatus,
        grace_s: float,
        tell: Callable[[str], None],
        moved_deadline: Callable[[], datetime],
        anchor: Callable[[], None] = lambda: None,
    ) -> None:
        self.run, self.seal, self.stage, self.clock = run, seal, stage, clock
        self.ledger, self.board, self.status, self.tell = ledger, board, status, tell
        self.moved_deadline, self.anchor = moved_deadline, anchor
        self.folder = run.stage(stage.name)
        self.grace = real_duration(clock, grace_s)
        self.attempts: list[Attempt] = []
        self.offset = 0
        self.best_step = -1
        self.recorded: set[str] = set()
        self.finish_reason = ""
        self.term_sent: datetime | None = None
        self.microbatch: int | None = None

    def work(self) -> Ending:
        """Return how the stage ended, after its `exit.json` and ledger line are written."""
        started = self.clock.now()
        self.started = started
        self.status.start = started.isoformat()
        record_found(self.run, self.stage.name, self.ledger)
        write_inputs(self.run, self.seal, self.stage)
        ending = self._attempts()
        self.status.end = self.clock.now().isoformat()
        self.close(ending)
        return ending

    def close(self, ending: Ending) -> None:
        """Write how the stage ended to `exit.json` and the ledger."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self.status.ending = ending
        record = {
            "ending": ending,
            "attempts": [asdict(a) for a in self.attempts],
            "notes": self.status.notes,
        }
        write_atomically(self.folder.exit, json.dumps(record, indent=1))
        record_results(self.run, self.stage.name, self.ledger)
        self.ledger.write("stage-ended", stage=self.stage.name, ending=ending, attempts=len(self.attempts))

    def _attempts(self) -> Ending:
        without_progress = 0
        while True:
            step_before = self.best_step
            try:
                code = self._attempt()
            except NightError as error:
                self.status.notes.append(str(error))
                return Ending.CRASHED
            ending = self._ending(code)
            if ending is not None:
                return ending
            without_progress = 0 if self.best_step > step_before else without_progress + 1
            failed = Ending.OUT_OF_MEMORY if code == TrainerExit.OUT_OF_MEMORY else Ending.CRASHED
            if without_progress > RESTARTS_WITHOUT_PROGRESS:
                self.tell(f"{self.stage.title}: {without_progress} attempts without progress, gave up")
                return failed
            if self.clock.now() >= self.moved_deadline():
                return failed
            self._prepare_restart(code)

    def _prepare_restart(self, code: int) -> None:
        self.status.restarts += 1
        if code == TrainerExit.OUT_OF_MEMORY:
            self.microbatch = max(1, (self.microbatch or 16) // 2)
        resume = newest_whole(self.folder.checkpoints)
        source = f"from {resume.name}" if resume else "from its beginning, no whole checkpoint"
        self.tell(f"{self.stage.title}: {_spoken_exit(code)}; started again {source}")
        self.ledger.write("stage-restarted", stage=self.stage.name, exit_code=code, resume=source)

    def _attempt(self) -> int:
        """Return the exit code of one process, after it and its whole group are gone."""
        deadline = self.moved_deadline()
        self.term_sent = None
        self.finish_reason = ""
        write_control(self.folder, self.started, deadline, stop=False)
        start = self.clock.now().isoformat()
        process = start_trainer(self.run, self.seal, self.stage, deadline, self.microbatch)
        self.ledger.write("trainer-started", stage=self.stage.name, pid=process.pid)
        try:
            self._wait(process)
        finally:
            signal_group(process, signal.SIGKILL)
        code = process.wait()
        self._take_events()
        self._record_checkpoints()
        self.attempts.append(Attempt(process.pid, start, self.clock.now().isoformat(), code))
        return code

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        descriptor = os.pidfd_open(process.pid)
        try:
            deadline = self._follow_deadline(None)
            while True:
                limit = self.term_sent + self.grace if self.term_sent else deadline
                timeout = min(LOOK_EVERY_S, max(0.0, real_seconds_until(self.clock, limit)))
                ready, _, _ = select.select([descriptor, self.board.wake_fd], [], [], timeout)
                if descriptor in ready:
                    return
                self.board.clear_wake()
                self._take_events()
                deadline = self._follow_deadline(deadline)
                self._enforce(process, deadline)
        finally:
            os.close(descriptor)

    def _follow_deadline(self, known: datetime | None) -> datetime:
        """Return the deadline as it stands, told to the trainer where it moved."""
        deadline = self.moved_deadline()
        self.status.deadline = deadline.isoformat()
        if known is not None and abs(deadline - known) > timedelta(seconds=1):
            write_control(self.folder, self.started, deadline, stop=self.board.stop_asked)
        return deadline

    def _enforce(self, process: subprocess.Popen[bytes], deadline: datetime) -> None:
        now = self.clock.now()
        if self.term_sent is None and (self.board.stop_asked or now >= deadline):
            write_control(self.folder, self.started, deadline, stop=True)
            signal_group(process, signal.SIGTERM)
            self.term_sent = now
        elif self.term_sent is not None and now >= self.term_sent + self.grace:
            self.tell(f"{self.stage.title}: did not stop within its grace and was killed")
            signal_group(process, signal.SIGKILL)

    def _take_events(self) -> None:
        events, self.offset = read_events(self.folder.events, self.offset)
        for event in events:
            self._take(event)

    def _take(self, event: Event) -> None:
        self.status.take(event)
        if event.kind == "progress":
            self.best_step = max(self.best_step, event.step)
        elif event.kind == "checkpoint":
            self._record_checkpoints()
        elif event.kind == "finished":
            self.finish_reason = event.reason

    def _record_checkpoints(self) -> None:
        """Write every whole checkpoint not yet known to the ledger; a kill may have cut off its event."""
        for path in sorted(self.folder.checkpoints.glob("step-*")):
            try:
                digest = manifest_sha256(path)
            except OSError:
                continue
            if digest in self.recorded or damage(path) is not None:
                continue
            self.recorded.add(digest)
            place = str(path.relative_to(self.run.path))
            self.ledger.write("checkpoint", stage=self.stage.name, path=place, manifest_sha256=digest)
            self.anchor()

    def _ending(self, code: int) -> Ending | None:
        """Return the stage's ending, or None where the trainer should be started again."""
        if self.board.stop_asked:
            return Ending.CANCELLED
        if self.term_sent is not None or (code == 0 and self.finish_reason == DEADLINE):
            return Ending.STOPPED_AT_DEADLINE
        if code == 0 and self.finish_reason == STOP_ASKED:
            return Ending.CANCELLED
        return Ending.FINISHED if code == 0 else None


def _spoken_exit(code: int) -> str:
    if code == TrainerExit.OUT_OF_MEMORY:
        return "out of memory"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"crashed with exit code {code}"
