"""One planted or honest night: how it is made, what the judge may say of it, and what it must not."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.nights.lab import Lab
from nightshift.rundir import RunDir
from nightshift.states import Metric, Word
from verdict.finding import Verdict

GAIN, LATENCY, LOSS, BUSY = (
    Metric.VALIDATION_NDCG,
    Metric.INFERENCE_MS,
    Metric.TRAINING_LOSS,
    Metric.GPU_UTILISATION_PCT,
)
STOP, PAUSE, NO_GAIN, GO = Word.STOP, Word.PAUSE_AND_FIX, Word.NO_GAIN, Word.GO


@dataclass(frozen=True)
class Case:
    """A night of the catalogue."""

    id: str
    what: str
    make: Callable[[Lab, str], RunDir]
    """Given the lab and a name for the copy: the night."""
    words: tuple[Word, ...]
    """What the judge may say."""
    by: str = ""
    """Which mechanism catches it: P, L, J, C, S or O; empty for an honest night."""
    falsified: Metric | None = None
    """The criterion that must not come out MET."""
    permuted: bool = False
    """Whether the night turns on what the modalities are worth."""

    @property
    def planted(self) -> bool:
        """Whether this night is false."""
        return bool(self.by)

    def wrong(self, verdict: Verdict) -> str:
        """Return why a verdict is wrong about this night, or an empty text."""
        if verdict.word not in self.words:
            return f"{verdict.word}, not {' or '.join(self.words)}: {verdict.sentence}"
        met = [f for f in verdict.criteria if f.name == self.falsified and f.state == "MET"]
        return f"{self.falsified} is MET" if met else ""
