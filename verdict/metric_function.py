"""A person's metric function, run in a process of its own and put through controls in seconds.

Nothing of the person's code is ever imported here: `verdict.metric_child` runs it, with a time limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nightshift.instant import boottime_s
from nightshift.states import NightError
from verdict.answer import BELIEVED, CANNOT_TELL, NOT_BELIEVED, Answer
from verdict.metric_batches import compliance_batches, gain_batches, ranking_batches, whole_sets
from verdict.metric_compliance import compliance_findings, gain_findings, whole_failures
from verdict.metric_controls import Findings, Measured, ranking_findings
from verdict.metric_form import CANDIDATES, COMPLIANCE, GAIN, RANKING, CandidateKeys, forms_of
from verdict.metric_trial import MetricError, Trial, run_child

Json = Mapping[str, object]
NAMELESS = "a ranking, by none of the usual metrics"


@dataclass(frozen=True)
class MetricCheck:
    """What the controls say of one function."""

    spec: str
    kind: str
    """ranking, compliance, candidates or gain; empty where the function never ran."""
    failures: list[str]
    """Each a plain sentence, the root cause first; empty where every control holds."""
    notes: list[str] = field(default_factory=list)
    """What is no failure and should be known."""
    limits: list[str] = field(default_factory=list)
    """Where it is sound only in part."""
    facts: dict[str, float | int | str] = field(default_factory=dict)
    ran: bool = True

    @property
    def only_ties(self) -> bool:
        """Return whether all that is wrong is what happens to equal scores: sound where no scores tie."""
        return bool(self.failures) and all(failure.startswith("ties are") for failure in self.failures)

    def answer(self) -> Answer:
        """Return the audit's answer: an unrun function is neither believed nor disbelieved."""
        subject = f"metric {self.spec}"
        if not self.ran:
            return Answer(
                subject, CANNOT_TELL, self.failures[0], self.facts, "Mend this (5 min) and ask again."
            )
        if self.failures:
            more = f" (and {len(self.failures) - 1} more)" if len(self.failures) > 1 else ""
            advice = (
                f"Mend the function (10 min), then compute every value again. {' '.join(self.failures[1:])}"
            )
            start = "No value of this metric can be believed"
            if self.only_ties:
                start = "Its values can be believed only where no scores are equal"
            sentence = f"{start}: {self.failures[0]}{more}."
            return Answer(subject, NOT_BELIEVED, sentence, self.facts, advice.strip())
        told = f"Every control holds; it measures {self.facts.get('metric', NAMELESS)}"
        if self.limits:
            return Answer(subject, CANNOT_TELL, f"{told}, but {'; '.join(self.limits)}.", self.facts)
        noted = f" ({'; '.join(self.notes)})" if self.notes else ""
        return Answer(subject, BELIEVED, f"{told}{noted}.", self.facts)


def _ranking(trial: Trial, seed: int, tie_words: bool) -> tuple[Findings, Json]:
    """Return the findings on a ranking metric, with graded labels or, where only those work, with 0 and 1."""
    graded, binary = ranking_batches(seed), ranking_batches(seed, binary=True)
    # Labels of 0 and 1 come first: by them it is decided how the function wants to be called.
    both = {f"{b} {n}": cases for b, kind in (("1", binary), ("3", graded)) for n, cases in kind.items()}
    sets = whole_sets(graded) if trial.kind == RANKING else {}
    measured, whole, told = trial.run(both, sets)
    in_order = trial.kind == CANDIDATES
    found = [
        ranking_findings(_part(measured, prefix), batches, in_order, tie_words)
        for prefix, batches in (("3", graded), ("1", binary))
    ]
    # A function that grades stop is better judged by what it does with 0 and 1.
    stopped = [bool(each.failures) and each.failures[0].startswith("it stops on an ord") for each in found]
    if found[0].failures and (not found[1].failures or (stopped[0] and not stopped[1])):
        limit = f"only with labels of 0 and 1; with grades 0 to 3: {found[0].failures[0]}"
        return replace(found[1], limits=[*found[1].limits, limit]), told
    if np.isfinite(list(whole.values())).any():
        failures, notes = whole_failures(_part(measured, "3"), whole)
        return replace(found[0], failures=found[0].failures + failures, notes=found[0].notes + notes), told
    return found[0], told


def _part(measured: Measured, prefix: str) -> Measured:
    """Return the batches whose names begin so."""
    start = f"{prefix} "
    values = {n[len(start) :]: v for n, v in measured.values.items() if n.startswith(start)}
    errors = {n[len(start) :]: v for n, v in measured.errors.items() if n.startswith(start)}
    return Measured(values, errors)


def _compliance(trial: Trial, seed: int) -> tuple[Findings, Json]:
    batches = compliance_batches(seed)
    measured, _, told = trial.run(batches, {})
    return compliance_findings(measured, batches, trial.kind == CANDIDATES), told


def _gain(trial: Trial, seed: int) -> tuple[Findings, Json]:
    batches = gain_batches(seed)
    measured, _, told = trial.run(batches, {})
    return gain_findings(measured, batches), told


def _judge(trial: Trial, seed: int, tie_words: bool) -> tuple[Findings, Json]:
    if trial.kind == GAIN:
        return _gain(trial, seed)
    if trial.kind == COMPLIANCE or trial.labels_are == "complies":
        return _compliance(trial, seed)
    findings, told = _ranking(trial, seed, tie_words)
    read = told["read"]
    if isinstance(read, list) and trial.keys.complies in read and trial.keys.label not in read:
        return _compliance(replace(trial, labels_are="complies"), seed)
    return findings, told


def _with_keys(findings: Findings, told: Json, labels: str) -> Findings:
    """Return the findings with the keys that were asked of candidates; `labels` is where the labels are."""
    read, missing = (", ".join(str(key) for key in list(told[name])) for name in ("read", "missing"))  # type: ignore[call-overload]
    facts = (
        findings.facts
        | ({"keys_read": read} if read else {})
        | ({"keys_missing": missing} if missing else {})
    )
    failures = list(findings.failures)
    if not labels:
        failures.append("the data has no label of what complies, so there is nothing to measure")
    elif failures and labels not in read.split(", "):
        if missing and failures[0].startswith("it returns 0"):
            failures[0] += f"; it asks for {missing}, which the data does not have"
        else:
            failures.append(
                f"it reads {read or missing or 'nothing'} of each candidate, never the label {labels!r}"
            )
    return replace(findings, failures=failures, facts=facts)


def check_metric(
    spec: str,
    where: Path,
    seed: int = 0,
    within_s: float = 20,
    *,
    kind: str | None = None,
    keys: CandidateKeys = CandidateKeys(),  # noqa: B008
) -> MetricCheck:
    """Return what controls say of the function that `module:function` or `file.py:function` names.

    `where` is its working directory; `kind` is one of `metric_form.KINDS`, read from its parameters where
    not given; `keys` are those of the person's candidates. Nothing is raised: what cannot be run says so.
    """
    until_s = boottime_s() + within_s
    try:
        if not all(spec.rpartition(":")[::2]):
            raise MetricError(
                f"{spec!r} names no function; write module:function or path/to/file.py:function"
            )
        told = run_child(spec, where, [], [], within_s)
        name, parameters = spec.rpartition(":")[2], told["parameters"]
        forms = forms_of(name, parameters if isinstance(parameters, dict) else {}, kind)
        complies = forms[0].kind == CANDIDATES and "compl" in name.lower()
        trial = Trial(spec, where, forms, keys, until_s, "complies" if complies else "label")
        findings, answered = _judge(trial, seed, "tie" in str(told["document"]).lower())
    except NightError as error:
        return MetricCheck(spec, "", [str(error)], ran=False)
    if trial.kind == CANDIDATES:
        complies |= "complies" in str(answered["read"]) and findings.facts.get("top_complies") is not None
        findings = _with_keys(findings, answered, keys.complies if complies else keys.label)
    form = forms[max(0, int(str(answered["chosen"])))]
    facts = findings.facts | {"called_with": f"{'sets of ' if form.whole else ''}{form.container}"}
    return MetricCheck(spec, form.kind, findings.failures, findings.notes, findings.limits, facts)
