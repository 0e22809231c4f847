"""Starting one attempt of a trainer: its environment, its own session, its output in a file."""

import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from models.settings import SETTINGS_OF
from nightshift.checkpoint import newest_whole, write_atomically
from nightshift.rundir import RunDir, StageDir
from nightshift.states import NightError
from nightshift.trainer import SCHEMA
from schedules.plan import Stage
from verdict.seal import Seal


def write_inputs(run: RunDir, seal: Seal, stage: Stage) -> None:
    """Write what this stage may read: never the test split."""
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
    for night, path in seal.handoffs.items():
        inputs[f"handoff.{night}"] = path
    for earlier in seal.night.stages[: seal.night.stages.index(stage)]:
        inputs[f"stage.{earlier.name}"] = str(run.stage(earlier.name).path)
    write_atomically(folder.settings, json.dumps(stage.settings, indent=1))
    write_atomically(folder.inputs, json.dumps(inputs, indent=1))


def write_control(folder: StageDir, start: datetime, deadline: datetime, stop: bool) -> None:
    """Tell a running trainer its deadline, or to stop."""
    control = {"start": start.isoformat(), "deadline": deadline.isoformat(), "lr_factor": 1.0, "stop": stop}
    write_atomically(folder.control, json.dumps(control))


def trainer_environment(folder: StageDir, seal: Seal, deadline: datetime) -> dict[str, str]:
    """Return the environment of a trainer: this process's, and the contract's variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NIGHT_")}
    environment |= {
        "NIGHT_RUN_DIR": str(folder.path),
        "NIGHT_DEADLINE": deadline.isoformat(),
        "NIGHT_CONTROL": str(folder.control),
        "NIGHT_INPUTS": str(folder.inputs),
        "NIGHT_SEED": str(seal.seed),
        "NIGHT_SEEDS": ",".join(str(seed) for seed in seal.plan.seeds),
        "NIGHT_NONCE": seal.nonce,
        "NIGHT_DEVICE": seal.device,
        "NIGHT_SCHEMA": str(SCHEMA),
        "PYTHONUNBUFFERED": "1",
    }
    if seal.clock:
        environment["NIGHT_CLOCK"] = seal.clock
    resume = newest_whole(folder.checkpoints)
    if resume:
        environment["NIGHT_RESUME"] = str(resume)
    return environment


def start_trainer(
    run: RunDir, seal: Seal, stage: Stage, deadline: datetime, microbatch: int | None
) -> subprocess.Popen[bytes]:
    """Return the started trainer, leader of its own session, so that its whole group can be ended.

    Raises NightError where the command does not exist.
    """
    folder = run.stage(stage.name)
    environment = trainer_environment(folder, seal, deadline)
    if microbatch is not None:
        environment["NIGHT_MICROBATCH"] = str(microbatch)
    command = [sys.executable if word == "{python}" else word for word in stage.command]
    ours = stage.module in SETTINGS_OF
    with folder.output.open("ab") as output:
        try:
            return subprocess.Popen(
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


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the trainer and everything it started; nothing where all are gone."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return
