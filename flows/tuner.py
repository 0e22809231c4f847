"""One worker of a shared tuning study as a flow run: any number of Prefect workers take any number of them.

    prefect deployment run tuner/on-demand -p study=ltr -p data=/srv/shop -p hours=6

Each worker runs as many at once as its `--limit` says: its slots. The database's address is the worker's NIGHT_STUDY.
"""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run as this_flow_run
from prefect.states import Completed, Failed

from models.data import open_source
from models.settings import STUDY_NAME, STUDY_URL, TuneSettings
from nightshift.checkpoint import write_atomically
from nightshift.instant import wall_now
from nightshift.rundir import StageDir
from nightshift.states import NightError

TUNER = "tuner/on-demand"


@flow(name="tuner", flow_run_name="{study}")
def tuner(
    study: str, data: str | None = None, home: str = "runs", hours: float = 7.0, trials: int = 200
) -> State[None]:
    """Tune along until the hours are over or the trials done; FAILED only where no trial could be run."""
    if not os.environ.get(STUDY_URL):
        return Failed(message=f"this worker knows no database: set {STUDY_URL} where it is started")
    folder = StageDir(Path(home).resolve() / ".tuners" / str(this_flow_run.id))
    folder.out.mkdir(parents=True)
    try:
        source = open_source(data, Path(home).resolve() / ".cache")
    except NightError as error:
        return Failed(message=str(error))
    inputs = {"train": source.splits["train"], "val": source.splits["val"], "settings": folder.settings}
    if source.images:
        inputs["images"] = source.images
    write_atomically(folder.settings, TuneSettings(trials=trials).model_dump_json())
    write_atomically(folder.inputs, json.dumps({name: str(path) for name, path in inputs.items()}))
    told = os.environ | {
        "NIGHT_RUN_DIR": str(folder.path),
        "NIGHT_INPUTS": str(folder.inputs),
        "NIGHT_DEADLINE": (wall_now() + timedelta(hours=hours)).isoformat(),
        STUDY_NAME: study,
    }
    with folder.output.open("ab") as output:
        ended = subprocess.run(
            [sys.executable, "-m", "models.tune_worker"],
            env=told, cwd=folder.path, stdout=output, stderr=output, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    if ended.returncode:
        return Failed(message=f"exit code {ended.returncode}; see {folder.output}")
    result = json.loads((folder.out / "shared-study.json").read_text())
    get_run_logger().info(
        "%s: %d trials here, best value %s", study, result["finished_here"], result["best_value"]
    )
    return Completed(message=f"{result['finished_here']} trials")
