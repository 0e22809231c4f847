"""What the nightwatch hears of a stage: its trainer's events, its checkpoints, its silence while the machine slept."""

from collections.abc import Callable

from nightshift.checkpoint import damage, manifest_sha256, step_of
from nightshift.events import Event, read_events
from nightshift.instant import boottime_s, monotonic_s
from nightshift.rundir import RunDir
from schedules.clock import Clock
from schedules.plan import Stage
from tasks.night_status import StageStatus
from tasks.storage import fetch_from_sink, short_of_space
from tasks.supervision import Supervision
from tasks.trainer_process import second_sink
from verdict.ledger import Ledger, read_ledger
from verdict.seal import Seal

ASLEEP_S = 5.0
"""Boot time ahead of monotonic time by so much since the last look: the machine slept."""


class Ears:
    """Listens to one stage; `StageRun` owns it."""

    def __init__(
        self,
        run: RunDir,
        seal: Seal,
        stage: Stage,
        clock: Clock,
        ledger: Ledger,
        status: StageStatus,
        supervision: Supervision,
        tell: Callable[[str], None],
        anchor: Callable[[], None],
    ) -> None:
        self.run, self.seal, self.stage, self.clock, self.ledger = run, seal, stage, clock, ledger
        self.status, self.supervision, self.tell, self.anchor = status, supervision, tell, anchor
        self.folder = run.stage(stage.name)
        self.sink = second_sink(seal, stage)
        self.offset = 0
        self.awake_s = boottime_s() - monotonic_s()
        self.recorded: set[str] = set()
        self.slow_told = self.short_told = False
        self.failed_saves = 0

    def replay(self) -> None:
        """Learn from what a nightwatch before this one has heard and recorded, without saying it again."""
        entries = read_ledger(self.run.ledger, self.seal.nonce)
        mine = [
            e.facts for e in entries if e.kind == "checkpoint" and e.facts.get("stage") == self.stage.name
        ]
        self.recorded = {str(facts["manifest_sha256"]) for facts in mine}
        events, self.offset = read_events(self.folder.events)
        for event in events:
            self._hear(event)
            self.status.take(event)

    def notice_sleep(self) -> None:
        """A suspended machine heard nothing: that silence is not the trainer's."""
        ahead_s = boottime_s() - monotonic_s()
        if ahead_s - self.awake_s > ASLEEP_S:
            self.supervision.pace.slept(ahead_s - self.awake_s)
            self.tell(f"The machine slept for {(ahead_s - self.awake_s) / 60:.0f} min")
            self.ledger.write("slept", seconds=round(ahead_s - self.awake_s, 1))
        self.awake_s = ahead_s

    def listen(self) -> None:
        """Take in what the trainer has said since the last time."""
        events, self.offset = read_events(self.folder.events, self.offset)
        for event in events:
            self._hear(event)
            self._take(event)
        self._warn()

    def _hear(self, event: Event) -> None:
        now_s = boottime_s()
        ago_s = (self.clock.now() - event.at).total_seconds() / self.clock.speed
        self.supervision.hear(event, now_s - max(0.0, ago_s), now_s)

    def _take(self, event: Event) -> None:
        self.status.take(event)
        if event.kind == "checkpoint":
            self.fetch()
            self.record_checkpoints()
            self._warn_of_disk()
            self._save_again(event.step)
        elif event.kind == "checkpoint-failed":
            self._save_failed(event.step, event.reason)

    def _save_failed(self, step: int, reason: str) -> None:
        """Say the first of several failures in a row; the ledger has all."""
        self.failed_saves += 1
        if self.failed_saves == 1:
            self.tell(f"{self.stage.title}: step {step} could not be saved ({reason}); training goes on")
        self.ledger.write("checkpoint-failed", stage=self.stage.name, step=step, reason=reason[:200])

    def _save_again(self, step: int) -> None:
        if self.failed_saves > 1:
            self.tell(
                f"{self.stage.title}: step {step} was saved, after {self.failed_saves} saves that failed"
            )
        self.failed_saves = 0

    def _warn(self) -> None:
        """Say once that the trainer has become slow."""
        if self.supervision.pace.slow and not self.slow_told:
            self.slow_told = True
            pace = self.supervision.pace
            share = (pace.rate() or 0.0) / pace.best_rate
            self.tell(
                f"{self.stage.title}: slowed down to {share:.0%} of its best rate; it anneals to the same end"
            )
            self.ledger.write("slow-down", stage=self.stage.name, share=round(share, 3))

    def _warn_of_disk(self) -> None:
        short = short_of_space(self.run, self.folder) if not self.short_told else ""
        if short:
            self.short_told = True
            self.tell(
                f"{self.stage.title}: {short}; make room, or its next checkpoints go to the second sink"
            )

    def fetch(self) -> None:
        """Bring home what had to go to the second sink."""
        for path in fetch_from_sink(self.sink, self.folder) if self.sink.is_dir() else []:
            self.tell(f"{self.stage.title}: {path.name} was fetched from the second sink")

    def record_checkpoints(self) -> None:
        """Write every whole checkpoint not yet known to the ledger; a kill may have cut off its event."""
        for path in sorted(self.folder.checkpoints.glob("step-*")):
            try:
                digest = manifest_sha256(path)
            except OSError:
                continue
            if digest in self.recorded or damage(path) is not None:
                continue
            self.recorded.add(digest)
            self.supervision.saved(step_of(path))
            place = str(path.relative_to(self.run.path))
            self.ledger.write("checkpoint", stage=self.stage.name, path=place, manifest_sha256=digest)
            self.anchor()
