"""The nightwatch: one detached process per night, free of Prefect, that owns the GPU and the trainers.

`python -m tasks.nightwatch RUN_DIR`. A flow asks it for each step and follows; when the flow falls
silent it goes on alone through the sealed plan to the hand-over.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from nightshift.checkpoint import sha256_of, write_atomically
from nightshift.instant import boottime_s
from nightshift.rundir import RunDir
from nightshift.states import Ending, NightError
from schedules.clock import real_duration, real_seconds_until
from schedules.timetable import Slot
from tasks.anchor import Anchor
from tasks.gpu import Gpu, find_gpus
from tasks.gpu_lock import acquire, lock_path
from tasks.handoff import hand_over
from tasks.judge_times import remember_judge_s
from tasks.night_board import NightBoard
from tasks.night_line import open_line
from tasks.night_status import HANDED_OVER, NightStatus, StageStatus
from tasks.process_identity import ProcessIdentity
from tasks.stage_run import StageRun
from verdict.finding import read_verdict
from verdict.ledger import Ledger
from verdict.seal import read_seal

JUDGE, HAND_OVER, REPORT = "judge", "hand-over", "report"
WIND_DOWN = (JUDGE, HAND_OVER, REPORT)
REPORT_WITHIN_S = 60.0


class Nightwatch:
    """Keeps one night."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.seal = read_seal(run)
        self.clock = self.seal.make_clock()
        self.table = self.seal.timetable()
        self.hand_over_at = self.seal.window.hand_over
        self.board = NightBoard()
        self.ledger = Ledger(run.ledger, self.seal.nonce, self.clock)
        self.anchor = Anchor(run, self.seal, self.ledger)
        self.sampler: subprocess.Popen[bytes] | None = None
        self.status = NightStatus(
            night=self.seal.night.name,
            title=self.seal.night.title,
            date=self.seal.date.isoformat(),
            run_dir=str(run.path),
            hand_over=self.hand_over_at.isoformat(),
            speed=self.seal.speed,
            stages=[StageStatus.planned(slot) for slot in self.table.slots],
        )

    def watch(self) -> None:
        """Keep the night to its end: stages, judge, hand-over, report."""
        gpus, reason = find_gpus()
        lock = acquire(lock_path(gpus, Path(self.seal.home)), self.run)
        self.ledger.write("night-opened", seal_sha256=sha256_of(self.run.seal), pid=os.getpid())
        self._start_sampler(gpus, reason)
        self.anchor.send()
        if self.seal.preflight:
            self._tell(self.seal.preflight.sentence)
        self._show()
        line = open_line(self.run, self.board, self._snapshot)
        try:
            for index, slot in enumerate(self.table.slots):
                self._stage(index, slot)
            self._judge()
            self._hand_over()
            self._report()
        finally:
            if self.sampler:
                self.sampler.kill()
            line.shutdown()
            lock.release()

    def _start_sampler(self, gpus: list[Gpu], reason: str) -> None:
        self.status.gpu = f"{gpus[0].name} ({gpus[0].uuid})" if gpus else reason
        self.ledger.write("gpu", found=len(gpus), device=self.status.gpu)
        if not gpus:
            return
        environment = os.environ | ({"NIGHT_CLOCK": self.seal.clock} if self.seal.clock else {})
        with self.run.nightwatch_log.open("ab") as log:
            self.sampler = subprocess.Popen(
                [sys.executable, "-m", "tasks.gpu_sampler", str(self.run.path), str(gpus[0].index)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def _snapshot(self) -> str:
        return json.dumps(asdict(self.status))

    def _show(self) -> None:
        self.status.write(self.run.status, self.clock.now())

    def _tell(self, text: str) -> None:
        self.status.note(self.clock.now(), text)
        self._show()

    def _finish(self, step: str) -> None:
        self.status.done.append(step)
        self._show()
        self.board.finish(step)

    def _deadline(self, index: int, started: datetime) -> datetime:
        """Return the stage's deadline as it stands, a moved hand-over taken in; shows the status, too."""
        asked = self.board.hand_over_asked
        if asked is not None and asked < self.hand_over_at:
            self.hand_over_at = asked
            self.status.hand_over = asked.isoformat()
            self.ledger.write("hand-over-moved", to=asked.isoformat())
            self._tell("A person moved the hand-over forward")
        self._show()
        return self.seal.budget(self.hand_over_at).deadline(index, started)

    def _stage(self, index: int, slot: Slot) -> None:
        name, title = slot.stage.name, slot.stage.title
        self.status.step = name
        self._show()
        if not self.board.wait_asked(name, self.seal.silence_s):
            self.ledger.write("alone", step=name)
            self._tell(f"Nobody asked for {title}: the flow is silent, the nightwatch goes on alone")
        started = self.clock.now()
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
        )
        self._deadline(index, started)
        halted = self.seal.preflight.halted if self.seal.preflight else ()
        why_not = "the night was stopped" if self.board.stop_asked else None
        why_not = why_not or (f"halted: {halted[0]}" if halted else None)
        why_not = why_not or self.seal.budget(self.hand_over_at).why_not(index, started)
        if why_not:
            stage.status.notes.append(f"not started: {why_not}")
            self._tell(f"{title} was not started: {why_not}")
            stage.close(Ending.NOT_STARTED)
        else:
            stage.work()
        self.anchor.send()
        self._finish(name)

    def _judge(self) -> None:
        self.status.step = JUDGE
        self._show()
        self.run.judge.mkdir(exist_ok=True)
        began_s = boottime_s()
        limit = self.hand_over_at - real_duration(self.clock, self.seal.costs["hand_over_s"])
        within_s = max(5.0, real_seconds_until(self.clock, limit))
        if self.board.stop_asked:
            within_s = max(within_s, 4 * self.seal.costs["judge_s"])
        self.ledger.write("judge-started", within_s=round(within_s, 1))
        if self._child("verdict.judge", self.run.judge_output, within_s) or self.run.verdict.is_file():
            judge_s = boottime_s() - began_s
            remember_judge_s(Path(self.seal.home), self.seal, judge_s)
            self.ledger.write("judged", verdict_sha256=sha256_of(self.run.verdict), judge_s=round(judge_s, 2))
            self.ledger.write("decoy", result=read_verdict(self.run).decoy)
        else:
            self.ledger.write("judge-failed")
            self._tell("The judge did not finish; the night is handed over unjudged")
        self._finish(JUDGE)

    def _child(self, module: str, output: Path, within_s: float) -> bool:
        """Return whether `python -m MODULE RUN` ended well within `within_s` real seconds."""
        environment = os.environ | {"NIGHT_JUDGE_WITHIN_S": f"{within_s:.1f}"}
        environment |= {"NIGHT_CLOCK": self.seal.clock} if self.seal.clock else {}
        with output.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", module, str(self.run.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.run.path,
                start_new_session=True,
            )
            try:
                return child.wait(within_s) == 0
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                return False

    def _hand_over(self) -> None:
        self.status.step = HAND_OVER
        endings = {stage.name: stage.ending for stage in self.status.stages}
        now = self.clock.now()
        deadline = self.hand_over_at
        if self.board.stop_asked:
            deadline = max(deadline, now + timedelta(seconds=1))
        handoff = hand_over(self.run, self.seal, endings, deadline, now, self.ledger.head)
        self.ledger.write("handed-over", handoff_sha256=sha256_of(self.run.handoff), word=handoff.word)
        self.anchor.send(last=True)
        verdict = read_verdict(self.run)
        self.status.state = HANDED_OVER
        self.status.word, self.status.sentence = verdict.word, verdict.sentence
        self.status.handed_over_at = handoff.handed_over_at.isoformat()
        self._finish(HAND_OVER)

    def _report(self) -> None:
        self.status.step = REPORT
        if not self._child("tasks.report", self.run.nightwatch_log, REPORT_WITHIN_S):
            self._tell("The report could not be written; run `nightshift report` on this run")
        self._finish(REPORT)


def main(path: Path) -> int:
    """Return the exit code of the nightwatch of this run directory."""
    run = RunDir(path)
    identity = ProcessIdentity.of(os.getpid())
    if identity:
        identity.write(run.nightwatch_identity)
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
