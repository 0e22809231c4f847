"""One attempt of a trainer: its environment, its own session, its output in a file; or adopted while it runs."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from models.settings import SETTINGS_OF, STUDY_NAME, STUDY_URL
from models.unlabelled import unlabelled
from nightshift.checkpoint import newest_whole, write_atomically
from nightshift.rundir import RunDir, StageDir
from nightshift.states import NightError
from nightshift.trainer import SCHEMA
from schedules.plan import Stage
from tasks.process_identity import ProcessIdentity
from tasks.supervision import Standing
from verdict.seal import Seal

SHARED = (STUDY_URL, STUDY_NAME)
"""The study that a tuning stage shares with workers elsewhere: a person's own words; the other NIGHT_ ones are ours."""


def write_inputs(run: RunDir, seal: Seal, stage: Stage) -> None:
    """Write what this stage may read: never the test split; somebody else's trainer gets it without its labels."""
    folder = run.stage(stage.name)
    folder.out.mkdir(parents=True, exist_ok=True)
    inputs = {
        "train": seal.data.splits["train"].path,
        "val": seal.data.splits["val"].path,
        "settings": str(folder.settings),
        "cache": str(Path(seal.home) / ".cache"),
        "data_facts": str(run.data_facts),
    }
    if seal.data.images:
        inputs["images"] = seal.data.images
    if stage.module not in SETTINGS_OF:
        write_atomically(run.unlabelled, unlabelled(Path(seal.data.splits["test"].path), seal.data.kind))
        inputs["test_unlabelled"] = str(run.unlabelled)
    for night, path in seal.handoffs.items():
        inputs[f"handoff.{night}"] = path
    for earlier in seal.night.stages[: seal.night.stages.index(stage)]:
        inputs[f"stage.{earlier.name}"] = str(run.stage(earlier.name).path)
    write_atomically(folder.settings, json.dumps(stage.settings, indent=1))
    write_atomically(folder.inputs, json.dumps(inputs, indent=1))


def write_control(
    folder: StageDir, start: datetime, deadline: datetime, lr_factor: float, stop: bool
) -> None:
    """Tell a running trainer its deadline and its share of the learning rate, or to stop."""
    control = {
        "start": start.isoformat(),
        "deadline": deadline.isoformat(),
        "lr_factor": lr_factor,
        "stop": stop,
    }
    write_atomically(folder.control, json.dumps(control))


def second_sink(seal: Seal, stage: Stage) -> Path:
    """Return the folder for checkpoints that the run's own disk refuses: this user's, on the system's disk."""
    return Path(tempfile.gettempdir()) / f"nightshift-{os.getuid()}" / seal.nonce / stage.name


def trainer_environment(
    run: RunDir, seal: Seal, stage: Stage, deadline: datetime, standing: Standing
) -> dict[str, str]:
    """Return the environment of a trainer: this process's, and the contract's variables."""
    folder = run.stage(stage.name)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("NIGHT_") or name in SHARED
    }
    environment |= {
        "NIGHT_RUN_DIR": str(folder.path),
        "NIGHT_DEADLINE": deadline.isoformat(),
        "NIGHT_CONTROL": str(folder.control),
        "NIGHT_INPUTS": str(folder.inputs),
        "NIGHT_SEED": str(seal.seed),
        "NIGHT_SEEDS": ",".join(str(seed) for seed in seal.plan.seeds),
        "NIGHT_NONCE": seal.nonce,
        "NIGHT_DEVICE": "cpu" if run.gpu_lost.is_file() else seal.device,
        "NIGHT_SCHEMA": str(SCHEMA),
        "NIGHT_SECOND_SINK": str(second_sink(seal, stage)),
        "PYTHONUNBUFFERED": "1",
    }
    if seal.cuda_visible is not None:
        environment["CUDA_VISIBLE_DEVICES"] = seal.cuda_visible
    if seal.clock:
        environment["NIGHT_CLOCK"] = seal.clock
    if standing.microbatch is not None:
        environment["NIGHT_MICROBATCH"] = str(standing.microbatch)
    if standing.below_step is not None:
        environment["NIGHT_SKIP_STEP"] = str(standing.below_step)
    resume = newest_whole(folder.checkpoints, standing.below_step)
    if resume:
        environment["NIGHT_RESUME"] = str(resume)
    return environment


@dataclass
class Trainer:
    """A trainer's process: started here, or by a nightwatch that died and adopted from it."""

    identity: ProcessIdentity
    child: subprocess.Popen[bytes] | None
    """None where it was adopted: its exit code is nobody's to know."""

    @property
    def pid(self) -> int:
        """Leader of the trainer's own process group."""
        return self.identity.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGUSR1 to the trainer alone, others to everything it started; nothing where all are gone."""
        if self.child is None and not self.identity.alive():
            return
        try:
            if number is signal.SIGUSR1:
                os.kill(self.pid, number)
            else:
                os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def exit_code(self) -> int | None:
        """Return the exit code once the process is over, None where it was adopted."""
        return self.child.wait() if self.child else None


def start_trainer(run: RunDir, seal: Seal, stage: Stage, deadline: datetime, standing: Standing) -> Trainer:
    """Return the started trainer, leader of its own session, so that its whole group can be ended.

    Raises NightError where the command does not exist.
    """
    folder = run.stage(stage.name)
    environment = trainer_environment(run, seal, stage, deadline, standing)
    command = [sys.executable if word == "{python}" else word for word in stage.command]
    if stage.processes > 1:
        command[1:1] = ["-m", "nightshift.torchrun", "--processes", str(stage.processes)]
    ours = stage.module in SETTINGS_OF
    with folder.output.open("ab") as output:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                # A person's own models/ folder must not shadow ours; their scripts start from their plan.
                cwd=folder.path if ours else seal.plan_dir,
                start_new_session=True,
            )
        except OSError as error:
            raise NightError(f"stage {stage.name}: {command[0]!r} cannot be started: {error}") from error
    # A child that ended at once is a zombie until it is waited for, and has no identity any more.
    identity = ProcessIdentity.of(child.pid) or ProcessIdentity(child.pid, 0, "")
    return Trainer(identity, child)


def adopted(identity: ProcessIdentity | None) -> Trainer | None:
    """Return the trainer that an earlier nightwatch of this night has left running, or None."""
    return Trainer(identity, None) if identity and identity.alive() else None
