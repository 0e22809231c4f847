"""Several fusion trainings at once, one per process of a team (`parallel = "seeds"`): the leader says who trains what.

In a round every process trains one design with one seed, on a GPU of its own and in a folder of its own, in `members/`.
Then the leader loads what the others have trained to the end, scores it on validation and keeps it as if it had trained
it itself; what the deadline cut is dropped. Killed, each goes on from its own newest checkpoint.
"""

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from models.encoders import Encoders
from models.fusion_designs import LEANER, LONGER, Design
from models.fusion_encoders import STATE as PICTURES
from models.fusion_pools import Pools
from models.fusion_training import Training
from models.settings import FusionSettings
from models.stage_best import Key, best_by_design, key_of
from models.team import Team
from nightshift.checkpoint import newest_whole, read_state, remove_checkpoint, whole_checkpoints
from nightshift.instant import boottime_s
from nightshift.trainer import TrainerRun

STOP = signal.SIGUSR2
"""The leader's wish to stop; SIGTERM is torchrun's, for a process that shall die because another one has."""
ENCODERS = "encoders"
"""Beside the members' folders."""
SILENT_S, WAITING_S = 300.0, 60.0
"""Real seconds without a sign of life: of one that trains (it evaluates and saves, too), of the leader that waits."""


class Ground(NamedTuple):
    """What every training of a stage stands on, as the leader gives it."""

    train: Pools
    val: Pools
    encoders: Path


class Present(NamedTuple):
    """A process that has come."""

    pid: int
    begun: Key | None = None
    """What it was training when the stage was last killed."""


class Job(NamedTuple):
    """One training, as the leader asks for it."""

    design: Design
    seed: int
    settings: FusionSettings

    @property
    def key(self) -> Key:
        """Design and seed."""
        return self.design.name, self.seed


class Grown(NamedTuple):
    """One training that another process has brought to its end."""

    job: Job
    checkpoint: Path
    """Its best."""
    took_s: float


@dataclass
class Others:
    """The other processes, as the leader sees them."""

    run: TrainerRun
    team: Team
    begun: dict[int, Key]
    pids: list[int]
    jobs: Mapping[int, Job]
    heard: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Rank -> bytes that it has said, and the boot-time second of the last of them."""
    told_to_stop: bool = False

    @classmethod
    def joined(cls, run: TrainerRun, team: Team, train: Pools, val: Pools, encoders: Encoders) -> "Others":
        """Return the others, with all that they need to begin."""
        if run.resume is None or (run.resume / PICTURES).exists():  # what was begun stands on other encoders
            shutil.rmtree(run.folder.members, ignore_errors=True)
        shared = run.folder.members / ENCODERS
        shared.mkdir(parents=True, exist_ok=True)
        encoders.save(shared)
        team.tell(Ground(_moved(train, "cpu"), _moved(val, "cpu"), shared))
        told = [one for one in team.gathered(Present(os.getpid())) if isinstance(one, Present)]
        begun = {rank: one.begun for rank, one in enumerate(told) if one.begun}
        return cls(run, team, begun, [one.pid for one in told], {})

    def ask(self, jobs: Mapping[int, Job]) -> None:
        """Have these ranks train this, while the leader trains something else."""
        self.jobs, self.heard, self.begun = jobs, {}, {}
        self.team.tell(dict(jobs))

    def grown(self) -> list[Grown]:
        """Return what the others have trained to the end, once all have come to one.

        The leader passes on that it was asked to stop, and falls silent where one of them has. Raises RuntimeError
        where one has died.
        """
        self.run.phase("train", within_s=WAITING_S)
        table = self.team.arrived((1.0, 0.0), self._while_waiting)
        self.run.phase("train")
        found = []
        for rank, job in self.jobs.items():
            whole, took_s = table[rank].tolist()
            if not whole:
                continue
            best = best_by_design(whole_checkpoints(self.run.folder.member(rank).checkpoints))
            found += [Grown(job, best[job.key], took_s)] if job.key in best else []
        return found

    def _while_waiting(self) -> None:
        self.run.read_control()
        if self.run.stop_asked and not self.told_to_stop:
            self.told_to_stop = True
            for pid in self.pids[1:]:
                os.kill(pid, STOP)
        now_s = boottime_s()
        for rank in self.jobs:
            said = _bytes_of(self.run.folder.member(rank).events)
            if rank not in self.heard or said != self.heard[rank][0]:
                self.heard[rank] = said, now_s
        if all(not said or now_s - at_s < SILENT_S for said, at_s in self.heard.values()):
            self.run.beat()

    def end(self) -> None:
        """Forget the others' folders; nobody needs them once all is kept."""
        shutil.rmtree(self.run.folder.members, ignore_errors=True)


def shared_out(
    fits: Sequence[Key], chosen: Key | None, begun: Mapping[int, Key], ranks: int, first: bool
) -> dict[int, Key]:
    """Return what each rank beyond 0 trains beside the leader's choice, if it has one: at best what it had begun.

    In the first round whatever comes first, so that there is soon something to hand over; later the same design, so
    that nobody waits long. Not what depends on what the first round finds out; spare time's not before its turn.
    """
    same = chosen[0] if chosen else ""

    def may(key: Key) -> bool:
        return not ((key[0] == LEANER and first) or key[0] == LONGER != same)

    free = [key for key in fits if key != chosen and (key in begun.values() or may(key))]
    given = {rank: key for rank, key in begun.items() if key in free and rank < ranks}
    left = [key for key in free if key not in given.values()]
    if not first:
        left.sort(key=lambda key: key[0] != same)
    idle = [rank for rank in range(1, ranks) if rank not in given]
    return given | dict(zip(idle, left, strict=False))


def rounds(keys: Sequence[Key], ranks: int, first: bool) -> int:
    """Return how many rounds these trainings take."""
    left, count = list(keys), 0
    while left:
        taken = {left[0], *shared_out(left, left[0], {}, ranks, first and not count).values()}
        left, count = [key for key in left if key not in taken], count + 1
    return count


def attend(team: Team, run: TrainerRun) -> str:
    """Train what the leader asks for, round by round, until it sends us home; return why it ended: no reason."""
    folder = run.folder.member(team.rank)
    mine = replace(run, folder=folder, rank=0, resume=None, skip_step=None, second_sink=None)
    mine.read_control()

    def stop(*_: object) -> None:
        mine.stop_asked = True

    signal.signal(STOP, stop)
    ground = team.tell(None)
    if not isinstance(ground, Ground):
        return ""
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    train, val = _moved(ground.train, run.device), _moved(ground.val, run.device)
    encoders = Encoders.load(ground.encoders, run.device, run.inputs.get("cache"))
    newest = newest_whole(folder.checkpoints)
    team.gathered(Present(os.getpid(), key_of(read_state(newest)) if newest else None))
    while isinstance(jobs := team.tell(None), dict):
        job, began_s, whole = jobs.get(team.rank), boottime_s(), False
        if job:
            for path in whole_checkpoints(folder.checkpoints):
                if key_of(read_state(path)) != job.key:
                    remove_checkpoint(path)
            training = Training(
                mine, job.settings, encoders, train, val, job.design, job.seed,
                aloud=False, resume=newest_whole(folder.checkpoints),
            )  # fmt: skip
            whole = training.to_the_end()
            folder.events.unlink(missing_ok=True)  # home: nobody waits for a word
        team.arrived((float(whole), boottime_s() - began_s), lambda: None)
    return ""


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _moved(pools: Pools, device: str) -> Pools:
    return replace(pools.on(device), queries=pools.queries)
