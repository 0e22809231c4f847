"""What a training was told at each step: its share of the schedule and of the learning rate, kept in checkpoints.

With the clock's answers on file a training that was cut and resumed can be repeated without any clock, and
compared bit for bit: `NIGHT_REPLAY=CHECKPOINT python -m models.train_fusion`.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = "shares.npy"
SKIPPED = -1.0
"""The share of a step whose data was passed over."""


class ShareLog:
    """One row per step: share of the schedule (0..1), factor of the learning rate."""

    def __init__(self, replay: Path | None = None) -> None:
        self.rows: list[tuple[float, float]] = []
        self.replayed: NDArray[np.float64] | None = np.load(replay / FILE) if replay else None

    def restore(self, checkpoint: Path) -> None:
        """Go on after the steps that this checkpoint has seen."""
        self.rows = [(float(share), float(factor)) for share, factor in np.load(checkpoint / FILE)]

    def next(self, share: float, factor: float) -> tuple[float, float]:
        """Return what the coming step is told: what is true now, or what was true in the training replayed."""
        if self.replayed is not None and len(self.rows) < len(self.replayed):
            share, factor = (float(value) for value in self.replayed[len(self.rows)])
        self.rows.append((share, factor))
        return share, factor

    @property
    def over(self) -> bool:
        """Return whether a replay has come to the last step of what it replays."""
        return self.replayed is not None and len(self.rows) >= len(self.replayed)

    def save(self, folder: Path) -> None:
        """Write the rows into a checkpoint that is being filled."""
        np.save(folder / FILE, np.array(self.rows, dtype=np.float64).reshape(-1, 2))
