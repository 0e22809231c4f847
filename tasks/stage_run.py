"""One stage from start to ending: carries out what `supervision` decides, with real processes and files."""

import json
import os
import select
import signal
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta

from nightshift.checkpoint import newest_whole, write_atomically
from nightshift.instant import boottime_s
from nightshift.rundir import RunDir
from nightshift.states import Ending, NightError
from schedules.clock import Clock, real_seconds_until
from schedules.plan import Stage
from tasks.night_board import NightBoard
from tasks.night_status import StageStatus
from tasks.stage_ears import Ears
from tasks.stage_record import record_found, record_results
from tasks.stage_standing import Attempt, read_memory
from tasks.supervision import Fault, Supervision
from tasks.trainer_process import Trainer, adopted, start_trainer, write_control, write_inputs
from verdict.ledger import Ledger
from verdict.seal import Seal

LOOK_EVERY_S = 0.5
"""Real seconds between looks at a running trainer's event file; endings and deadlines need no look."""


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
        gpu_lost: Callable[[], bool] = lambda: False,
    ) -> None:
        self.run, self.seal, self.stage, self.clock = run, seal, stage, clock
        self.ledger, self.board, self.status, self.tell = ledger, board, status, tell
        self.moved_deadline, self.gpu_lost = moved_deadline, gpu_lost
        self.folder = run.stage(stage.name)
        self.memory = read_memory(self.folder)
        self.supervision = Supervision(self.memory.standing, grace_s)
        self.ears = Ears(run, seal, stage, clock, ledger, status, self.supervision, tell, anchor)

    def work(self) -> Ending:
        """Return how the stage ended, after its `exit.json` and ledger line are written."""
        self.memory.started = self.memory.started or self.clock.now().isoformat()
        self.started = datetime.fromisoformat(self.memory.started)
        self.status.start = self.memory.started
        record_found(self.run, self.stage.name, self.ledger)
        write_inputs(self.run, self.seal, self.stage)
        if self.memory.running or self.memory.attempts:
            self.ears.replay()
        ending = self._known_ending() or self._attempts()
        self.status.end = self.clock.now().isoformat()
        self.close(ending)
        return ending

    def _known_ending(self) -> Ending | None:
        """Return how the stage ended, where a nightwatch died between its `exit.json` and its ledger line."""
        try:
            return (
                Ending(json.loads(self.folder.exit.read_text())["ending"]) if self.memory.attempts else None
            )
        except (OSError, ValueError, KeyError):
            return None

    def close(self, ending: Ending) -> None:
        """Write how the stage ended to `exit.json` and the ledger."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self.status.ending = ending
        record = {
            "ending": ending,
            "attempts": [asdict(a) for a in self.memory.attempts],
            "notes": self.status.notes,
        }
        write_atomically(self.folder.exit, json.dumps(record, indent=1))
        record_results(self.run, self.stage.name, self.ledger)
        attempts = len(self.memory.attempts)
        self.ledger.write("stage-ended", stage=self.stage.name, ending=ending, attempts=attempts)

    def _attempts(self) -> Ending:
        while True:
            ending = self._attempt()
            if ending is not None:
                return ending
            if self.clock.now() >= self.moved_deadline():
                fault = self.supervision.fault or Fault.CRASH
                self.tell(f"{self.stage.title}: {fault} at its deadline, not started again")
                return Ending.STOPPED_AT_DEADLINE if newest_whole(self.folder.checkpoints) else Ending.CRASHED

    def _attempt(self) -> Ending | None:
        """Return the stage's ending after one process and its whole group are gone, None to start another."""
        deadline = self.moved_deadline()
        self._control(deadline, self.board.stop_asked)
        try:
            trainer = self._adopted() or self._start(deadline)
        except NightError as error:
            self.status.notes.append(str(error))
            return Ending.CRASHED
        if trainer is None:
            return self._concluded(None)
        try:
            self._wait(trainer)
        finally:
            trainer.signal(signal.SIGKILL)
        return self._concluded(trainer.exit_code())

    def _start(self, deadline: datetime) -> Trainer | None:
        """Return the started trainer; None where one died together with the nightwatch that had started it."""
        if self.memory.running:
            return None
        self.ears.fetch()
        self.memory.running_since = self.clock.now().isoformat()
        self.supervision.begin(boottime_s())
        trainer = start_trainer(self.run, self.seal, self.stage, deadline, self.memory.standing)
        self.memory.running = trainer.identity
        self.memory.write(self.folder)
        self.ledger.write("trainer-started", stage=self.stage.name, pid=trainer.pid)
        return trainer

    def _adopted(self) -> Trainer | None:
        trainer = adopted(self.memory.running)
        if trainer:
            self.tell(f"{self.stage.title}: its trainer (pid {trainer.pid}) was adopted as it runs")
            self.ledger.write("trainer-adopted", stage=self.stage.name, pid=trainer.pid)
        return trainer

    def _concluded(self, code: int | None) -> Ending | None:
        """Take down how a process ended; return the stage's ending, or None after a restart was prepared."""
        self.ears.listen()
        self.ears.fetch()
        self.ears.record_checkpoints()
        ending = self.supervision.ended(code, self.board.stop_asked)
        failed = ending not in (Ending.FINISHED, Ending.STOPPED_AT_DEADLINE, Ending.CANCELLED)
        if failed and self.gpu_lost():
            ending = Ending.GPU_LOST  # nothing that is started on it again would live
        fault = str(self.supervision.fault or "") if failed else ""
        if self.memory.running:
            pid, since = self.memory.running.pid, self.memory.running_since
            self.memory.attempts.append(Attempt(pid, since, self.clock.now().isoformat(), code, fault))
        self.memory.running = None
        self.memory.write(self.folder)
        if ending is None:
            self._say_restart(code)
        elif ending is Ending.GPU_LOST:
            self.tell(f"{self.stage.title}: ended with its GPU; its newest checkpoint stands")
        elif failed:
            self.tell(f"{self.stage.title}: {fault}, given up after {len(self.memory.attempts)} attempts")
        return ending

    def _say_restart(self, code: int | None) -> None:
        standing, fault = self.memory.standing, self.supervision.fault or Fault.CRASH
        self.status.restarts = standing.restarts
        resume = newest_whole(self.folder.checkpoints, standing.below_step)
        source = f"from {resume.name}" if resume else "from its beginning, no whole checkpoint"
        self.tell(f"{self.stage.title}: {_spoken(fault, code, standing.microbatch)}; started again {source}")
        facts = {"stage": self.stage.name, "fault": str(fault), "resume": source}
        self.ledger.write("stage-restarted", exit_code="unknown" if code is None else code, **facts)

    def _wait(self, trainer: Trainer) -> None:
        """Return when the process is over; ends it where `supervision` says so."""
        try:
            descriptor = os.pidfd_open(trainer.pid)
        except ProcessLookupError:
            return
        try:
            deadline = self._follow_deadline(None)
            while True:
                left_s = (
                    max(0.0, real_seconds_until(self.clock, deadline)) if not self.supervision.over else 1.0
                )
                ready, _, _ = select.select(
                    [descriptor, self.board.wake_fd], [], [], min(LOOK_EVERY_S, left_s)
                )
                if descriptor in ready:
                    return
                self.board.clear_wake()
                self.ears.notice_sleep()
                self.ears.listen()
                deadline = self._follow_deadline(deadline)
                self._enforce(trainer, deadline)
        finally:
            os.close(descriptor)

    def _follow_deadline(self, known: datetime | None) -> datetime:
        """Return the deadline as it stands, told to the trainer where it moved."""
        deadline = self.moved_deadline()
        self.status.deadline = deadline.isoformat()
        if known is not None and abs(deadline - known) > timedelta(seconds=1):
            self._control(deadline, self.board.stop_asked)
        return deadline

    def _control(self, deadline: datetime, stop: bool) -> None:
        write_control(self.folder, self.started, deadline, self.memory.standing.lr_factor, stop)

    def _enforce(self, trainer: Trainer, deadline: datetime) -> None:
        over = self.board.stop_asked or self.clock.now() >= deadline
        number = self.supervision.due(boottime_s(), over)
        if number is None:
            return
        if number is signal.SIGUSR1:
            limit = self.supervision.pace.limit_s()
            phase = self.supervision.pace.phase or "start"
            self.tell(
                f"{self.stage.title}: silent for {limit:.0f} s in {phase}, taken for hung; its stacks are in output.log"
            )
        elif number is signal.SIGTERM and over:
            self._control(deadline, stop=True)
        elif number is signal.SIGKILL and over:
            self.tell(f"{self.stage.title}: did not stop within its grace and was killed")
        trainer.signal(number)


def _spoken(fault: Fault, code: int | None, microbatch: int | None) -> str:
    if fault is Fault.HANG:
        return "hung and was killed"
    if fault is Fault.NOT_FINITE:
        return "its numbers were not finite, the learning rate is halved"
    if fault is Fault.OUT_OF_MEMORY:
        return f"out of memory, the micro-batch is {microbatch} now"
    if code is None:
        return "ended while nobody watched"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"crashed with exit code {code}"
