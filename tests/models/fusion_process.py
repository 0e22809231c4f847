"""The fusion trainer as a real process, as the nightwatch starts it."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from nightshift.events import read_events
from nightshift.rundir import StageDir

REPOSITORY = Path(__file__).parents[2]
SMALL = {
    "width": 64,
    "hidden": 32,
    "text_encoder": "none/none",
    "image_network": False,
    "designs": ["fusion"],
    "one_seed": True,
}
ALONE = ("-m", "models.train_fusion")


def start(folder, bar, settings, *words, **more):
    """Return the stage and the started trainer; `words`: what Python runs, `more`: of its environment."""
    stage = StageDir(folder)
    stage.out.mkdir(parents=True, exist_ok=True)
    stage.settings.write_text(json.dumps(SMALL | settings))
    inputs = {
        "train": bar.splits["train"],
        "val": bar.splits["val"],
        "images": bar.images,
        "settings": stage.settings,
    }
    stage.inputs.write_text(json.dumps({name: str(path) for name, path in inputs.items()}))
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY), "NIGHT_RUN_DIR": str(folder), "NIGHT_INPUTS": str(stage.inputs),
        "NIGHT_SEED": "11", "NIGHT_NONCE": "n0",
    } | more  # fmt: skip
    with stage.output.open("ab") as log:
        return stage, subprocess.Popen(
            [sys.executable, *(words or ALONE)], env=environment, stdout=log, stderr=log, cwd=folder
        )


def wait_for(stage, kind, count, process):
    """Return the events of this kind, once there are so many."""
    for _ in range(600):
        events = [event for event in read_events(stage.events)[0] if event.kind == kind]
        if len(events) >= count:
            return events
        assert process.poll() is None, stage.output.read_text()[-2000:]
        threading.Event().wait(0.1)
    raise AssertionError(f"no {count} events {kind}")
