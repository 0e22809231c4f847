"""Every path name of one stage of a run, and of a process that trains beside its leader."""

from dataclasses import dataclass
from pathlib import Path

MEMBERS = "members"


@dataclass(frozen=True)
class StageDir:
    """One stage's folder: what its trainer reads and writes (`NIGHT_RUN_DIR`)."""

    path: Path

    @property
    def events(self) -> Path:
        """One JSON line per event; the trainer writes it."""
        return self.path / "events.jsonl"

    @property
    def output(self) -> Path:
        """stdout and stderr of every attempt."""
        return self.path / "output.log"

    @property
    def checkpoints(self) -> Path:
        """Folders `step-NNNNNN`; the trainer writes them."""
        return self.path / "checkpoints"

    @property
    def inputs(self) -> Path:
        """`NIGHT_INPUTS`: name -> path; the nightwatch writes it."""
        return self.path / "inputs.json"

    @property
    def settings(self) -> Path:
        """The stage's settings from the plan, named by the inputs file; the nightwatch writes it."""
        return self.path / "settings.json"

    @property
    def control(self) -> Path:
        """`NIGHT_CONTROL`: deadline, learning-rate factor, stop; the nightwatch writes it."""
        return self.path / "control.json"

    @property
    def standing(self) -> Path:
        """What the stage has been through so far, and its trainer's identity; the nightwatch writes it."""
        return self.path / "standing.json"

    @property
    def fault(self) -> Path:
        """A fault that a rehearsal wants its trainer to have; the injector writes it, the trainer takes it."""
        return self.path / "fault.json"

    @property
    def exit(self) -> Path:
        """How the stage ended; the nightwatch writes it."""
        return self.path / "exit.json"

    @property
    def opened(self) -> Path:
        """Data files that the stage's trainers opened, one JSON line each; the trainer's audit hook writes it."""
        return self.path / "opened.jsonl"

    @property
    def results(self) -> Path:
        """Per-query results that the trainer states, one JSON line each; the judge recomputes them."""
        return self.out / "results.jsonl"

    @property
    def features(self) -> Path:
        """The first training pools as the trainer really fed them to its model; the judge encodes them anew."""
        return self.out / "features.npz"

    @property
    def out(self) -> Path:
        """Results beside checkpoints (tables, curves); the trainer writes them."""
        return self.path / "out"

    @property
    def members(self) -> Path:
        """What processes that train beside the leader need and leave; gone once the leader has kept what it wants."""
        return self.path / MEMBERS

    def member(self, rank: int) -> "MemberDir":
        """Return the folder of one such process."""
        return MemberDir(self.members / str(rank))


@dataclass(frozen=True)
class MemberDir(StageDir):
    """The folder of one process beside the leader: a stage's in small."""

    @property
    def control(self) -> Path:
        """The stage's: what the nightwatch asks holds for every process."""
        return StageDir(self.path.parents[1]).control
