"""Picking what an earlier stage of the night has left: the chosen design's best checkpoint."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from nightshift.checkpoint import read_state, remove_checkpoint, step_of, whole_checkpoints, write_atomically
from nightshift.rundir import StageDir
from nightshift.states import NightError

Key = tuple[str, int]
"""Design and seed: what names one training of a stage."""
KEEP = 3
"""Newest checkpoints that stay, beside the best of each design and seed."""
CHOICE = "choice.json"
"""In a stage's `out/`: which design its trainer chose on validation, and what it compares it with."""


def chosen(stage: Path, key: str = "design") -> str | None:
    """Return the design a stage has chosen (or its `reference`), or None where it wrote no choice."""
    try:
        name = json.loads((StageDir(stage).out / CHOICE).read_text()).get(key)
    except (OSError, ValueError, AttributeError):
        return None
    return name if isinstance(name, str) else None


def write_choice(out: Path, document: Mapping[str, object]) -> None:
    """Write what was chosen, with the night's nonce, so that yesterday's choice is not taken for it."""
    nonce = os.environ.get("NIGHT_NONCE", "")
    write_atomically(out / CHOICE, json.dumps({"nonce": nonce, **document}, indent=1))


def key_of(state: Mapping[str, object]) -> Key:
    """Return the design and the seed of a checkpoint with this state; of one that holds no ranker, ("", 0)."""
    return str(state.get("design", "")), int(str(state.get("seed", 0)))


def best_by_design(checkpoints: Iterable[Path]) -> dict[Key, Path]:
    """Return per (design, seed) the checkpoint that validated best, the earliest of equals."""
    best: dict[Key, tuple[float, Path]] = {}
    for path in checkpoints:
        state = read_state(path)
        score = state.get("selection_score")
        if not isinstance(score, int | float):
            continue
        key = key_of(state)
        if key not in best or score > best[key][0]:
            best[key] = (float(score), path)
    return {key: path for key, (_, path) in best.items()}


def best_checkpoint(stage: Path) -> Path:
    """Return the whole checkpoint of a stage that validated best, of the design it chose.

    Raises NightError where the stage left none.
    """
    paths = [p for p in whole_checkpoints(StageDir(stage).checkpoints) if _score_of(p) is not None]
    if not paths:
        raise NightError(f"{stage}: this stage left no whole model, so there is nothing to go on from")
    design = chosen(stage)
    kept = [path for path in paths if read_state(path).get("design") == design] if design else []
    return max(kept or paths, key=lambda path: _score_of(path) or 0.0)


def _score_of(path: Path) -> float | None:
    """Return what a checkpoint scored on validation, None for one that is only there to go on from."""
    score = read_state(path).get("selection_score")
    return float(score) if isinstance(score, int | float) else None


def forget_old(checkpoints: Path) -> None:
    """Remove checkpoints, except the newest three and the best of each design and seed."""
    paths = sorted(checkpoints.glob("step-*"), key=step_of)
    best = set(best_by_design(paths).values())
    for path in paths[:-KEEP]:
        if path not in best:
            remove_checkpoint(path)


def forget_other_branches(checkpoints: Path, resume: Path | None) -> None:
    """Remove checkpoints behind the one that is resumed: their numbers or their encoders are others."""
    last = step_of(resume) if resume else -1
    for path in whole_checkpoints(checkpoints):
        if step_of(path) > last:
            remove_checkpoint(path)
