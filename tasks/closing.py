"""The end of a night, never cut: judge, hand-over, report; each as a child that may not outlast its time."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from nightshift.checkpoint import sha256_of
from nightshift.instant import boottime_s
from nightshift.rundir import RunDir
from schedules.clock import Clock, real_duration, real_seconds_until
from tasks.anchor import Anchor
from tasks.handoff import Handoff, hand_over, read_handoff
from tasks.judge_times import remember_judge_s
from tasks.night_board import NightBoard
from tasks.night_status import HANDED_OVER, NightStatus
from tasks.process_identity import ProcessIdentity
from verdict.finding import read_verdict
from verdict.ledger import Ledger, read_ledger
from verdict.seal import Seal

JUDGE, HAND_OVER, REPORT = "judge", "hand-over", "report"
REPORT_WITHIN_S, PUBLISH_WITHIN_S = 60.0, 900.0
SHORTEST_JUDGE_S = 5.0
SHORTEST_SPARE_S, LOOK_AHEAD_WITHIN_S = 20.0, 300.0
"""Real seconds before the deadline from which on the next night is looked at, and for how long at most."""


@dataclass
class Closing:
    """Closes one night; the nightwatch owns it."""

    run: RunDir
    seal: Seal
    clock: Clock
    ledger: Ledger
    anchor: Anchor
    board: NightBoard
    status: NightStatus
    tell: Callable[[str], None]

    def judge(self, hand_over_at: datetime) -> None:
        """Have the night judged before its hand-over; one that was judged already is not judged again."""
        self.run.judge.mkdir(exist_ok=True)
        began_s = boottime_s()
        limit = hand_over_at - real_duration(self.clock, self.seal.costs["hand_over_s"])
        within_s = max(SHORTEST_JUDGE_S, real_seconds_until(self.clock, limit))
        if self.board.stop_asked or self.clock.now() > hand_over_at:
            within_s = max(within_s, 4 * self.seal.costs["judge_s"])
        self.ledger.write("judge-started", within_s=round(within_s, 1))
        whole = run_child(self.run, self.seal, "verdict.judge", self.run.judge_output, within_s)
        if whole or self.run.verdict.is_file():
            judge_s = boottime_s() - began_s
            remember_judge_s(Path(self.seal.home), self.seal, judge_s)
            self.ledger.write("judged", verdict_sha256=sha256_of(self.run.verdict), judge_s=round(judge_s, 2))
            self.ledger.write("decoy", result=read_verdict(self.run).decoy)
        else:
            self.ledger.write("judge-failed")
            self.tell("The judge did not finish; the night is handed over unjudged")

    def hand_over(self, hand_over_at: datetime) -> None:
        """Hand over weights, tables and word; once."""
        handoff = read_handoff(self.run) or self._new_handoff(hand_over_at)
        if not self._written("handed-over"):
            digest = sha256_of(self.run.handoff)
            self.ledger.write("handed-over", handoff_sha256=digest, word=handoff.word)
            self.anchor.send(last=True)
        verdict = read_verdict(self.run)
        self.status.state = HANDED_OVER
        self.status.word, self.status.sentence = verdict.word, verdict.sentence
        self.status.handed_over_at = handoff.handed_over_at.isoformat()

    def _written(self, kind: str) -> bool:
        """Return whether a line of this kind stands in the ledger, also by a nightwatch before this one."""
        return any(entry.kind == kind for entry in read_ledger(self.run.ledger, self.seal.nonce))

    def _new_handoff(self, deadline: datetime) -> Handoff:
        endings = {stage.name: stage.ending for stage in self.status.stages}
        now = self.clock.now()
        if self.board.stop_asked:
            deadline = max(deadline, now + timedelta(seconds=1))
        return hand_over(self.run, self.seal, endings, deadline, now, self.ledger.head)

    def look_ahead(self, hand_over_at: datetime) -> None:
        """Use what is left of the night to look at the next one; nothing waits for it."""
        spare_s = real_seconds_until(self.clock, hand_over_at)
        if self.board.stop_asked or spare_s < SHORTEST_SPARE_S:
            return
        within_s = min(spare_s, LOOK_AHEAD_WITHIN_S)
        if run_child(self.run, self.seal, "tasks.next_night", self.run.nightwatch_log, within_s):
            self.tell(self.run.next_night.read_text())

    def report(self) -> None:
        """Write the morning report."""
        if not run_child(self.run, self.seal, "tasks.report", self.run.nightwatch_log, REPORT_WITHIN_S):
            self.tell("The report could not be written; run `nightshift report` on this run")

    def publish(self) -> None:
        """Give the night away, where the plan says so and nobody has; all is told and the GPU given back by now."""
        if not self.seal.plan.publish or self._written("published"):
            return
        well = run_child(self.run, self.seal, "tasks.publish", self.run.nightwatch_log, PUBLISH_WITHIN_S)
        self.ledger.write("published" if well else "not-published", where=str(self.seal.plan.publish))
        if not well:
            self.tell(
                "The bundle could not be published (nightwatch.log says why); `nightshift publish` tries again"
            )


def run_child(run: RunDir, seal: Seal, module: str, output: Path, within_s: float) -> bool:
    """Return whether `python -m MODULE RUN` ended well within `within_s` real seconds."""
    environment = os.environ | {"NIGHT_JUDGE_WITHIN_S": f"{within_s:.1f}"}
    environment |= {"NIGHT_CLOCK": seal.clock} if seal.clock else {}
    with output.open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", module, str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=run.path,
            start_new_session=True,
        )
        identity = ProcessIdentity.of(child.pid)
        if identity:
            identity.write(run.child_identity)
        try:
            return child.wait(within_s) == 0
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return False


def end_left_child(run: RunDir) -> None:
    """End the judge or report that a dead nightwatch of this night has left: it is started anew."""
    left = ProcessIdentity.read(run.child_identity)
    if left and left.alive():
        os.killpg(left.pid, signal.SIGKILL)
