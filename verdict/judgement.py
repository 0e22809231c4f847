"""What judging one kind of night adds to the verdict."""

from dataclasses import dataclass, field

from pydantic import JsonValue

from verdict.finding import Finding, ModalityFinding


@dataclass
class Judgement:
    """Findings, scores and facts, gathered while judging."""

    findings: list[Finding] = field(default_factory=list)
    scores: dict[str, dict[str, JsonValue]] = field(default_factory=dict)
    modalities: dict[str, ModalityFinding] = field(default_factory=dict)
    pools: list[dict[str, JsonValue]] = field(default_factory=list)
    encoders: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    stop: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    latency: dict[str, JsonValue] = field(default_factory=dict)
    loss_facts: dict[str, JsonValue] = field(default_factory=dict)
