"""Every path name of a run; nobody else joins strings."""

from dataclasses import dataclass
from pathlib import Path

from nightshift.stagedir import MEMBERS, StageDir

__all__ = ["MEMBERS", "RunDir", "StageDir"]


@dataclass(frozen=True)
class RunDir:
    """One night's folder, `runs/<date>/<night>/`."""

    path: Path

    @classmethod
    def create(cls, home: Path, date: str, night: str) -> "RunDir":
        """Return a new folder for this night; a repeat of the same date gets `-2`, `-3`, ..."""
        for number in range(1, 10_000):
            path = home / date / (night if number == 1 else f"{night}-{number}")
            try:
                path.mkdir(parents=True, exist_ok=False)
            except FileExistsError:
                continue
            return cls(path.resolve())
        raise FileExistsError(f"10,000 runs of {night} on {date} in {home}")

    def stage(self, name: str) -> StageDir:
        """Return the folder of one stage."""
        return StageDir(self.path / "stages" / name)

    @property
    def seal(self) -> Path:
        """What was promised before the start; the launcher writes it once."""
        return self.path / "seal.json"

    @property
    def data_facts(self) -> Path:
        """Kind, name and known facts of the data set, for trainers; the launcher writes it once."""
        return self.path / "data_facts.json"

    @property
    def decoy(self) -> Path:
        """A corrupted copy of this night that the judge must catch; gone when it has."""
        return self.judge / "decoy"

    @property
    def ledger(self) -> Path:
        """Hash-chained record of the night; the nightwatch writes it."""
        return self.path / "ledger.jsonl"

    @property
    def status(self) -> Path:
        """The night as it stands; the nightwatch replaces it whenever something changes."""
        return self.path / "status.json"

    @property
    def unlabelled(self) -> Path:
        """The test split without its labels, for trainers of other people; the launch writes it."""
        return self.path / "test-unlabelled.txt"

    @property
    def published(self) -> Path:
        """Where the night's bundle lies; who publishes it writes it."""
        return self.path / "published.txt"

    @property
    def mirror(self) -> Path:
        """Where the night is mirrored in Weights & Biases, or why it is not; the mirror writes it."""
        return self.path / "mirror.txt"

    @property
    def notices(self) -> Path:
        """What a person was told of this night, one file per fact; who tells it writes it."""
        return self.path / "notices"

    @property
    def gpu_lost(self) -> Path:
        """Why the GPU was lost in mid-night; the nightwatch writes it, and what starts later does without the GPU."""
        return self.path / "gpu-lost.txt"

    @property
    def nightwatch_identity(self) -> Path:
        """pid, start time and boot id of the nightwatch, to tell it from a later process."""
        return self.path / "nightwatch.json"

    @property
    def child_identity(self) -> Path:
        """The judge or report that runs now; the nightwatch writes it, to end what a dead one has left."""
        return self.path / "child.json"

    @property
    def start_lock(self) -> Path:
        """Held while a nightwatch is started, so that two who revive it do not start two."""
        return self.path / ".start.lock"

    @property
    def ballast(self) -> Path:
        """Disk space held back for the night's own records; given up when the disk is full."""
        return self.path / ".ballast"

    @property
    def nightwatch_log(self) -> Path:
        """stdout and stderr of the nightwatch."""
        return self.path / "nightwatch.log"

    @property
    def socket_name(self) -> str:
        """Name of the nightwatch's socket inside the run directory."""
        return "nightwatch.sock"

    @property
    def flow_identity(self) -> Path:
        """pid of the process that runs the flow, for people and tests; the flow writes it."""
        return self.path / "flow.json"

    @property
    def flow_log(self) -> Path:
        """stdout and stderr of the flow process."""
        return self.path / "flow.log"

    @property
    def gpu_samples(self) -> Path:
        """One JSON line per NVML reading; the sampler process writes it."""
        return self.path / "gpu.jsonl"

    @property
    def bedtime(self) -> Path:
        """The bedtime check's answer; the bedtime flow or command writes it."""
        return self.path / "bedtime.json"

    @property
    def judge(self) -> Path:
        """The judge's own folder."""
        return self.path / "judge"

    @property
    def verdict(self) -> Path:
        """Word, findings, scores; the judge writes it."""
        return self.judge / "verdict.json"

    @property
    def judge_output(self) -> Path:
        """stdout and stderr of the judge."""
        return self.judge / "output.log"

    @property
    def handover(self) -> Path:
        """Weights and tables to take away; the hand-over writes it."""
        return self.path / "handover"

    @property
    def next_night(self) -> Path:
        """Whether the campaign's next night is ready, one sentence, where there was time to look."""
        return self.path / "next_night.txt"

    @property
    def injected(self) -> Path:
        """Faults that a rehearsal was given, and when; the injector writes it."""
        return self.path / "injected.json"

    @property
    def handoff(self) -> Path:
        """All that the next night reads; the hand-over writes it."""
        return self.path / "handoff.json"

    @property
    def report_html(self) -> Path:
        """The morning page."""
        return self.path / "report.html"

    @property
    def report_markdown(self) -> Path:
        """The same as Markdown."""
        return self.path / "report.md"

    @property
    def report_json(self) -> Path:
        """The same as JSON: one entry of `nights`."""
        return self.path / "report.json"
