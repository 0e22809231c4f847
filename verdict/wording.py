"""The night's one sentence and its one next step, in plain words."""

from collections.abc import Mapping, Sequence

from nightshift.states import CriterionState, Metric, Word
from verdict.finding import Finding
from verdict.reasons import Reason, gravest

NAMES = {
    Metric.TRAINING_LOSS: "training loss",
    Metric.VALIDATION_NDCG: "gain in nDCG@10",
    Metric.COMPLIANCE_AT_1: "Compliance@1",
    Metric.INFERENCE_MS: "inference",
    Metric.GPU_UTILISATION_PCT: "GPU utilisation",
    Metric.CANDIDATE_RECALL_AT_100: "gain in recall@100",
    Metric.POOL_RECALL_AT_100: "recall of the index",
}


def _shown(finding: Finding) -> str:
    name = NAMES[finding.name]
    if finding.value is None:
        return f"{name}: {finding.reason}"
    if finding.name is Metric.INFERENCE_MS:
        return f"{name} {finding.value:.2f} ms"
    if finding.low is None or finding.high is None:
        return f"{name} {finding.value:.4f}"
    return f"{name} {finding.value:+.4f} [{finding.low:+.4f}, {finding.high:+.4f}]"


def _first(findings: Sequence[Finding], *states: CriterionState) -> Finding | None:
    return next((f for f in findings if f.required and f.state in states), None)


def sentence_of(
    word: Word,
    findings: Sequence[Finding],
    reasons: Sequence[Reason],
    broken: Mapping[str, str],
    notes: Sequence[str],
) -> str:
    """Return one sentence that says why the word is what it is."""
    grave = gravest(reasons)
    if word is Word.STOP and grave:
        return f"Nothing of this night may be used: {grave.what}."
    if word is Word.GO:
        return f"All that was required is met: {'; '.join(_shown(f) for f in findings if f.required)}."
    if word is Word.NO_GAIN:
        missed = _first(findings, CriterionState.MISSED)
        return f"Measured honestly, and missed: {_shown(missed) if missed else ''}."
    unsound = _first(findings, CriterionState.INVALID) or _first(findings, CriterionState.NOT_MEASURED)
    if grave and not (unsound and unsound.state is CriterionState.INVALID):
        return f"Not to be believed yet: {grave.what}."
    if broken:
        return f"The night is incomplete: {next(iter(broken.values()))}."
    if unsound:
        state = "cannot be believed" if unsound.state is CriterionState.INVALID else "was not measured"
        return f"The {NAMES[unsound.name]} {state}: {unsound.reason}."
    return notes[0] if notes else "Nothing that could be judged was asked of this night."


def next_step_of(
    word: Word, findings: Sequence[Finding], reasons: Sequence[Reason], broken: Mapping[str, str]
) -> str:
    """Return one thing to do next, with its cost."""
    invalid = _first(findings, CriterionState.INVALID)
    if invalid and "saturated" in invalid.reason and word is not Word.STOP:
        return "Label a harder test set (120 min of labelling, no GPU): the labels leave nothing to gain."
    grave = gravest(reasons)
    if grave:
        return grave.mend
    if word is Word.GO:
        return "Take the weights from the hand-over folder (1 min) and start the next night (0 min of yours)."
    if word is Word.NO_GAIN:
        missed = _first(findings, CriterionState.MISSED)
        if missed and missed.name is Metric.INFERENCE_MS:
            return "Profile the path that is timed (30 min) before another night is spent on quality."
        return "Read the worst queries in the hand-over's analysis.json (15 min) before another night (8 h)."
    if broken:
        stage = next(iter(broken))
        return f"Read stages/{stage}/output.log (5 min), mend it, and rehearse (3 min) before the next night."
    return "Mend what the finding names, then rehearse (3 min) before the next night (8 h)."
