"""What was computed once of one content need not be computed again: the decoy, and a night judged twice.

Keys are hashes of what is on disk now, so nothing that was exchanged is taken for what it replaced.
"""

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TypeVar, cast

from models.scorers import PoolScorer, load_scorer
from nightshift.checkpoint import manifest_sha256, sha256_of
from verdict.scored import ScoredSplit, score_split
from verdict.seal import Seal

T = TypeVar("T")


class ScoreBook:
    """Scores, latencies and checks of data by content; kept in memory as long as the judge lives."""

    def __init__(self) -> None:
        self._known: dict[Hashable, object] = {}

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` gives, made once per key."""
        if key not in self._known:
            self._known[key] = make()
        return cast(T, self._known[key])

    def scorer(self, checkpoint: Path, device: str) -> PoolScorer:
        """Return the model of a checkpoint, ready to score."""
        return self.once(
            ("scorer", manifest_sha256(checkpoint), device), lambda: load_scorer(checkpoint, device)
        )

    def split(self, seal: Seal, checkpoint: Path, name: str) -> ScoredSplit:
        """Return one split, scored by the model of a checkpoint and by V1.0 on the same pools."""
        scorer = self.scorer(checkpoint, seal.device)
        key = ("split", manifest_sha256(checkpoint), name, *content(seal, name))
        return self.once(key, lambda: score_split(seal, scorer, name))


def content(seal: Seal, *splits: str) -> tuple[str, ...]:
    """Return what names these splits and the pictures beside them; V1.0 of feature files is found on train."""
    names = ("train", *splits) if seal.data.kind == "letor" else splits
    files = [sha256_of(Path(seal.data.splits[name].path)) for name in names]
    return (*files, seal.data.images or "", seal.data.pictures.sha256 if seal.data.pictures else "")
