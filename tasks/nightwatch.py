"""The nightwatch: one detached process per night, free of Prefect, that owns the GPU and the trainers.

`python -m tasks.nightwatch RUN_DIR`. A flow asks it for each step and follows; when the flow falls
silent it goes on alone through the sealed plan to the hand-over. Started again on the same run after it
was killed, it adopts what still runs and goes on from what is on disk.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from nightshift.checkpoint import sha256_of, write_atomically
from nightshift.instant import boottime_s, parse_utc
from nightshift.rundir import RunDir
from nightshift.states import Ending, NightError
from schedules.timetable import Slot
from tasks.anchor import Anchor
from tasks.campaign import BROKE, changed_code
from tasks.closing import HAND_OVER, JUDGE, REPORT, Closing, end_left_child
from tasks.gpu import Gpu, installed_gpus
from tasks.gpu_lock import acquire_all, lock_paths
from tasks.gpu_watch import GpuWatch
from tasks.inhibit import hold_awake
from tasks.mirror import start_live_mirror
from tasks.night_board import NightBoard
from tasks.night_line import open_line
from tasks.night_status import NightStatus, StageStatus, read_status
from tasks.notices import Notice, handed_over_notice, preflight_notice, send_in_background
from tasks.orphans import end_orphans
from tasks.process_identity import ProcessIdentity
from tasks.stage_run import StageRun
from tasks.storage import LOW_BYTES, drop_ballast, free_bytes, hold_ballast
from verdict.ledger import Entry, Ledger, read_ledger
from verdict.seal import read_seal

SHOW_EVERY_S = 2.0
"""Real seconds between two writings of a status in which nothing but a trainer's figures changed."""


class Nightwatch:
    """Keeps one night."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.seal = read_seal(run)
        self.clock = self.seal.make_clock()
        self.table = self.seal.timetable()
        self.board = NightBoard()
        self.ledger = Ledger(run.ledger, self.seal.nonce, self.clock, on_full=lambda: drop_ballast(run))
        self.anchor = Anchor(run, self.seal, self.ledger)
        self.status = read_status(run.status) or NightStatus(
            night=self.seal.night.name,
            title=self.seal.night.title,
            date=self.seal.date.isoformat(),
            run_dir=str(run.path),
            hand_over=self.seal.window.hand_over.isoformat(),
            speed=self.seal.speed,
            stages=[StageStatus.planned(slot) for slot in self.table.slots],
        )
        self.hand_over_at = parse_utc(self.status.hand_over)
        self.budget = self.seal.budget(self.hand_over_at)
        self.shown_s = 0.0
        self.gpu = GpuWatch(run, self.seal, self.ledger, self.status, self._tell)
        self.closing = Closing(
            run, self.seal, self.clock, self.ledger, self.anchor, self.board, self.status, self._tell
        )

    def watch(self) -> None:
        """Keep the night to its end: stages, judge, hand-over, report."""
        installed, reason = installed_gpus()
        gpus = [gpu for gpu in installed if gpu.uuid in self.seal.gpus]
        locks = acquire_all(lock_paths(gpus, Path(self.seal.home)), self.run)
        awake = hold_awake(f"night {self.status.title}")
        self._open(gpus, reason)
        line = open_line(self.run, self.board, self._snapshot)
        try:
            for index, slot in enumerate(self.table.slots):
                if slot.stage.name not in self.status.done:
                    self._stage(index, slot)
            self._step(JUDGE, lambda: self.closing.judge(self.hand_over_at))
            self._step(HAND_OVER, lambda: self.closing.hand_over(self.hand_over_at))
            self.closing.look_ahead(self.hand_over_at)
            self._step(REPORT, self.closing.report)
            notice = handed_over_notice(self.run, self.status.word, self.status.sentence)
            send_in_background(self.run.notices, notice)
        finally:
            self.gpu.stop()
            if awake:
                awake.kill()
            drop_ballast(self.run)
            line.shutdown()
            for lock in locks:
                lock.release()
        self.closing.publish()

    def _open(self, gpus: list[Gpu], reason: str) -> None:
        """Say who this is, and begin: the night, or what a dead nightwatch has left of it."""
        identity = ProcessIdentity.of(os.getpid())
        if identity:
            identity.write(self.run.nightwatch_identity)
        hold_ballast(self.run)
        if self.ledger.length:
            end_left_child(self.run)
            self.ledger.write("revived", pid=os.getpid())
            self._tell(
                "The nightwatch had ended and was started again; the night goes on from what is on disk"
            )
            for step in self.status.done:
                self.board.finish(step)
        else:
            self.ledger.write("night-opened", seal_sha256=sha256_of(self.run.seal), pid=os.getpid())
            if self.seal.preflight:
                self._tell(self.seal.preflight.sentence)
                notice = preflight_notice(self.run, self.seal.night.title, self.seal.preflight.sentence)
                send_in_background(self.run.notices, notice)
            changed = changed_code(Path(self.seal.home), self.run, self.seal)
            if changed:
                self.ledger.write("code-changed", told=changed)
                self._tell(changed)
        for name in end_orphans(Path(self.seal.home), self.run):
            self.ledger.write("orphan-ended", trainer=name)
            self._tell(f"A trainer of an earlier night still ran and was ended: {name}")
        self.gpu.begin(gpus, reason)
        start_live_mirror(self.run)
        self.anchor.send()
        self._show()

    def _snapshot(self) -> str:
        return json.dumps(asdict(self.status))

    def _show(self, sync: bool = True) -> None:
        self.shown_s = boottime_s()
        if self.run.ballast.exists() and free_bytes(self.run.path) < LOW_BYTES and drop_ballast(self.run):
            self.status.note(
                self.clock.now(), "The disk is full: the space held back for the night's records is in use"
            )
        try:
            self.status.write(self.run.status, self.clock.now(), sync)
        except OSError as error:  # for looking only; the night must go on
            print(f"nightwatch: {self.run.status}: {error}", file=sys.stderr)

    def _step(self, name: str, work: Callable[[], None]) -> None:
        """Do one of the last steps, unless a nightwatch before this one has done it."""
        if name not in self.status.done:
            self.status.step = name
            self._show()
            work()
            self._finish(name)

    def _tell(self, text: str) -> None:
        self.status.note(self.clock.now(), text)
        self._show()

    def _finish(self, step: str) -> None:
        self.status.done.append(step)
        self._show()
        self.board.finish(step)

    def _deadline(self, index: int, started: datetime) -> datetime:
        """Return the stage's deadline as it stands, a moved hand-over taken in; now and then shows the status, too."""
        asked = self.board.hand_over_asked
        if asked is not None and asked < self.hand_over_at:
            self.hand_over_at, self.budget = asked, self.seal.budget(asked)
            self.status.hand_over = asked.isoformat()
            self.ledger.write("hand-over-moved", to=asked.isoformat())
            self._tell("A person moved the hand-over forward")
        self.gpu.tend()
        if boottime_s() - self.shown_s >= SHOW_EVERY_S:
            self._show(sync=False)
        return self.budget.deadline(index, started)

    def _end_of(self, stage: str) -> Entry | None:
        """Return the line of the stage's end, where a nightwatch wrote it and died before it said so."""
        entries = read_ledger(self.run.ledger, self.seal.nonce)
        return next((e for e in entries if e.kind == "stage-ended" and e.facts.get("stage") == stage), None)

    def _stage(self, index: int, slot: Slot) -> None:
        name, title = slot.stage.name, slot.stage.title
        self.status.step = name
        self._show()
        ended = self._end_of(name)
        if ended:
            self.status.stage(name).ending, self.status.stage(name).end = str(ended.facts["ending"]), ended.at
            self._finish(name)
            return
        if not self.board.wait_asked(name, self.seal.silence_s):
            self.ledger.write("alone", step=name)
            self._tell(f"Nobody asked for {title}: the flow is silent, the nightwatch goes on alone")
        known = self.status.stage(name).start
        started = parse_utc(known) if known else self.clock.now()
        stage = StageRun(
            run=self.run,
            seal=self.seal,
            stage=slot.stage,
            clock=self.clock,
            ledger=self.ledger,
            board=self.board,
            status=self.status.stage(name),
            grace_s=self.seal.costs["grace_s"],
            tell=self._tell,
            moved_deadline=lambda: self._deadline(index, started),
            anchor=self.anchor.now_and_then,
            gpu_lost=lambda: self.gpu.lost and self.seal.device != "cpu",
        )
        self._deadline(index, started)
        halted = self.seal.preflight.halted if self.seal.preflight else ()
        why_not = "the night was stopped" if self.board.stop_asked else None
        why_not = why_not or (f"halted: {halted[0]}" if halted else None)
        if not known:
            why_not = why_not or self.budget.why_not(index, started)
        if why_not:
            stage.status.notes.append(f"not started: {why_not}")
            self._tell(f"{title} was not started: {why_not}")
            stage.close(Ending.NOT_STARTED)
        else:
            stage.work()
        self.anchor.send()
        if stage.status.ending in BROKE and not self.board.stop_asked:
            text = f"{title} ended as {stage.status.ending}; the night goes on with what is there."
            send_in_background(self.run.notices, Notice(f"stage-{name}", f"ACT: {title}", text))
        self._finish(name)


def main(path: Path) -> int:
    """Return the exit code of the nightwatch of this run directory."""
    run = RunDir(path)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        Nightwatch(run).watch()
    except NightError as error:
        write_atomically(run.path / "refused.txt", str(error))
        print(f"nightwatch: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
