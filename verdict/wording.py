"""The night's one sentence and its one next step, in plain words."""

from collections.abc import Mapping, Sequence

from nightshift.states import CriterionState, Metric, Word
from verdict.finding import Finding

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
    stop: Sequence[str],
    broken: Mapping[str, str],
    notes: Sequence[str],
) -> str:
    """Return one sentence that says why the word is what it is."""
    if word is Word.STOP:
        return f"Nothing of this night may be used: {stop[0]}."
    if word is Word.GO:
        return f"All that was required is met: {'; '.join(_shown(f) for f in findings if f.required)}."
    if word is Word.NO_GAIN:
        missed = _first(findings, CriterionState.MISSED)
        return f"Measured honestly, and missed: {_shown(missed) if missed else ''}."
    unsound = _first(findings, CriterionState.INVALID, CriterionState.NOT_MEASURED)
    if broken:
        return f"The night is incomplete: {next(iter(broken.values()))}."
    if unsound:
        state = "cannot be believed" if unsound.state is CriterionState.INVALID else "was not measured"
        return f"The {NAMES[unsound.name]} {state}: {unsound.reason}."
    return notes[0] if notes else "Nothing that could be judged was asked of this night."


def next_step_of(
    word: Word, findings: Sequence[Finding], stop: Sequence[str], broken: Mapping[str, str]
) -> str:
    """Return one thing to do next, with its cost."""
    if word is Word.STOP:
        return "Find out what changed (10 min), restore it, and run the night again (8 h)."
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
    unsound = _first(findings, CriterionState.INVALID, CriterionState.NOT_MEASURED)
    if unsound and "saturated" in unsound.reason:
        return "Label a harder test set: the labels leave nothing to gain (some hours of labelling, no GPU)."
    return "Mend what the finding names, then rehearse (3 min) before the next night (8 h)."
