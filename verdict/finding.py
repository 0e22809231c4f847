"""What is believed of a night: findings, and the verdict they add up to."""

import json
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, JsonValue

from nightshift.rundir import RunDir
from nightshift.states import CriterionState, Metric, Word
from verdict.reasons import Reason, gravest


class Finding(BaseModel):
    """One criterion, answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Metric
    required: bool
    asked: str
    """`> 0.03`."""
    state: CriterionState
    reason: str
    """One sentence."""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None


class ModalityFinding(BaseModel):
    """What permuting one modality across queries costs, in nDCG@10."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: str
    """USED, NOT USED, NOT SHOWN, ABSENT or NOT_MEASURED."""
    drop: float | None = None
    low: float | None = None
    high: float | None = None
    permutations: int = 0
    n: int | None = None


class Verdict(BaseModel):
    """A night, judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    word: Word
    sentence: str
    next_step: str
    criteria: tuple[Finding, ...] = ()
    checkpoint: str | None = None
    """The judged checkpoint, relative to the run directory."""
    checkpoint_sha256: str | None = None
    scores: dict[str, dict[str, JsonValue]] = {}
    """`validation` and `test`."""
    modalities: dict[str, ModalityFinding] = {}
    pools: list[dict[str, JsonValue]] = []
    encoders: dict[str, str] = {}
    findings: list[str] = []
    warnings: list[str] = []
    per_query_gains: list[float] = []
    latency: dict[str, JsonValue] = {}
    loss_facts: dict[str, JsonValue] = {}
    gpu: dict[str, JsonValue] = {}
    judge_s: float = 0.0
    decoy: str = ""
    """What became of the corrupted copy that the judge must catch: `caught (how)`, `not caught ...`, or why none."""


def word_of(findings: Sequence[Finding], reasons: Sequence[Reason], broken: Mapping[str, str]) -> Word:
    """Return the night's word: STOP over PAUSE_AND_FIX over NO_GAIN over GO.

    `reasons` speak against the night whatever its numbers; `broken` are stages that did not do their work.
    """
    required = [finding.state for finding in findings if finding.required]
    grave = gravest(reasons)
    if grave is not None:
        return grave.word
    if broken or not required:
        return Word.PAUSE_AND_FIX
    if CriterionState.INVALID in required or CriterionState.NOT_MEASURED in required:
        return Word.PAUSE_AND_FIX
    return Word.NO_GAIN if CriterionState.MISSED in required else Word.GO


def read_verdict(run: RunDir) -> Verdict:
    """Return the judge's verdict, or PAUSE_AND_FIX with the reason where it wrote none that can be read."""
    try:
        return Verdict.model_validate(json.loads(run.verdict.read_text()))
    except (OSError, ValueError):
        return Verdict(
            word=Word.PAUSE_AND_FIX,
            sentence="The night was handed over unjudged: the judge did not finish.",
            next_step="Read judge/output.log in the run folder, then run `nightshift judge RUN` (1 min).",
            findings=["Nothing was judged, so nothing of this night may be believed yet."],
        )
