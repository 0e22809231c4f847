"""Picking what an earlier stage of the night has left."""

from pathlib import Path

from nightshift.checkpoint import read_state, whole_checkpoints
from nightshift.rundir import StageDir
from nightshift.states import NightError


def best_checkpoint(stage: Path) -> Path:
    """Return the whole checkpoint of a stage that validated best.

    Raises NightError where the stage left none.
    """
    paths = whole_checkpoints(StageDir(stage).checkpoints)
    if not paths:
        raise NightError(f"{stage}: this stage left no whole checkpoint, so there is nothing to go on from")
    return max(paths, key=lambda path: float(str(read_state(path).get("selection_score", -1))))
