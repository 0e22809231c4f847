"""The score of an earlier night's fusion model as one more column; nothing of torch until it is asked."""

import os
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.dataset import Query
from models.scorers import PoolScorer, load_scorer

FUSION_FOLDER = "fusion"
HANDOFF = "handoff.fusion"


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


class FusionScores:
    """An earlier model, loaded when its first score is asked."""

    def __init__(self, checkpoint: Path, device: str) -> None:
        self.checkpoint = checkpoint
        self.device = device

    @cached_property
    def scorer(self) -> PoolScorer:
        """Return the loaded model."""
        return load_scorer(self.checkpoint, self.device)

    def __call__(self, queries: Sequence[Query]) -> list[NDArray[np.float64]]:
        """Return one array of scores per query."""
        return self.scorer.score_many(self.scorer.encode(queries))

    def save(self, folder: Path) -> None:
        """Put the model into a ranker's checkpoint, which must stand alone; linked where possible."""
        shutil.copytree(self.checkpoint, folder / FUSION_FOLDER, copy_function=_link)


def earlier_fusion(inputs: Mapping[str, Path], device: str) -> FusionScores | None:
    """Return the fusion model that an earlier night handed over, or None where there is none."""
    handover = inputs.get(HANDOFF)
    return FusionScores(handover / "checkpoint", device) if handover else None
