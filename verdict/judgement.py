"""What judging one kind of night adds to the verdict."""

from dataclasses import dataclass, field

from pydantic import JsonValue

from nightshift.states import Word
from verdict.finding import Finding, ModalityFinding
from verdict.reasons import Reason


@dataclass
class Judgement:
    """Findings, scores and facts, gathered while judging."""

    findings: list[Finding] = field(default_factory=list)
    scores: dict[str, dict[str, JsonValue]] = field(default_factory=dict)
    modalities: dict[str, ModalityFinding] = field(default_factory=dict)
    pools: list[dict[str, JsonValue]] = field(default_factory=list)
    encoders: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    """Why the night must not be believed, whatever its numbers say."""
    notes: list[str] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    latency: dict[str, JsonValue] = field(default_factory=dict)
    loss_facts: dict[str, JsonValue] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    """Test queries that are not judged because training has them too."""

    @property
    def stopped(self) -> bool:
        """Whether what numbers would be computed from is fake or leaked."""
        return any(reason.word is Word.STOP for reason in self.reasons)
