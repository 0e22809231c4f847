"""The judge: a process of its own that believes nothing it has not recomputed."""

import os
import sys
from pathlib import Path

from nightshift.checkpoint import manifest_sha256, write_atomically
from nightshift.events import read_events
from nightshift.instant import boottime_s
from nightshift.rundir import RunDir
from nightshift.states import CriterionState, Metric, NightError, Word
from verdict.criteria import metrics_judged, not_measured
from verdict.data_evidence import examine_sealed
from verdict.decoy import with_decoy
from verdict.evidence import Evidence, gather
from verdict.finding import Finding, Verdict, word_of
from verdict.judgement import Judgement
from verdict.observer import goodput, training_span, work_of
from verdict.own_metric import check_own_metric
from verdict.reasons import Reason, gravest, pause, stop
from verdict.scorebook import ScoreBook
from verdict.seal import Seal, read_seal
from verdict.utilisation import judge_utilisation, read_samples, spinning, utilisation, why_unsampled
from verdict.wording import next_step_of, sentence_of

START_S = 5.0
"""Real seconds that the interpreter has taken before, and the decoy and writing the verdict take behind."""


def judge_run(run: RunDir, within_s: float = float("inf"), book: ScoreBook | None = None) -> Verdict:
    """Return the verdict on a run directory; nothing is written.

    With `within_s` real seconds to go, what may be shortened (permutations) is. A `book` keeps what was
    computed of the same content before.

    Raises NightError where there is no run to judge.
    """
    began_s = boottime_s()
    seal = _sealed(run)
    if isinstance(seal, Verdict):
        return seal
    lost = run.gpu_lost.is_file()
    seal = seal.model_copy(update={"device": "cpu"}) if lost else seal
    evidence = gather(run, seal)
    judgement = _judgement(run, seal, evidence, began_s + within_s - START_S, book or ScoreBook())
    if lost:
        judgement.notes.append(
            f"The GPU was lost ({run.gpu_lost.read_text()}); what is timed was timed on the CPU."
        )
    use = _utilisation(run, seal, judgement)
    reasons = [*evidence.reasons, *judgement.reasons]
    findings = _in_plan_order(seal, [*judgement.findings, *use], reasons, judgement)
    word = word_of(findings, reasons, evidence.broken)
    checkpoint = evidence.checkpoint
    return Verdict(
        word=word,
        sentence=sentence_of(word, findings, reasons, evidence.broken, judgement.notes),
        next_step=next_step_of(word, findings, reasons, evidence.broken),
        criteria=tuple(findings),
        checkpoint=str(checkpoint.relative_to(run.path)) if checkpoint else None,
        checkpoint_sha256=manifest_sha256(checkpoint) if checkpoint else None,
        scores=judgement.scores,
        modalities=judgement.modalities,
        pools=judgement.pools,
        encoders=judgement.encoders,
        findings=[*(r.what for r in reasons), *evidence.broken.values(), *judgement.notes],
        warnings=[*evidence.warnings, *judgement.warnings],
        per_query_gains=judgement.gains,
        latency=judgement.latency,
        loss_facts=judgement.loss_facts,
        judge_s=round(boottime_s() - began_s, 2),
    )


def _sealed(run: RunDir) -> Seal | Verdict:
    """Return the seal, or STOP where a night took place here and its seal cannot be read any more."""
    try:
        return read_seal(run)
    except NightError as error:
        if not run.ledger.is_file() or not run.seal.is_file():
            raise
        reason = stop(f"seal.json is not what was sealed: {error}")
    return Verdict(
        word=Word.STOP,
        sentence=sentence_of(Word.STOP, [], [reason], {}, []),
        next_step=reason.mend,
        findings=[reason.what],
    )


def _judgement(run: RunDir, seal: Seal, evidence: Evidence, until_s: float, book: ScoreBook) -> Judgement:
    result = Judgement()
    if evidence.stopped:
        result.notes.append("Scores were not computed: what they would be computed from is not sound.")
        return result
    if seal.night.judge == "none":
        result.notes.append("The plan gives this night nothing that could be judged (judge = none).")
        return result
    _examine_data(result, seal, book)
    result.reasons += check_own_metric(seal, book)
    if not result.reasons and seal.preflight:
        result.reasons += [_halted(line) for line in seal.preflight.halted]
    if result.stopped:
        result.notes.append("Scores were not computed: the data or the metric give them away.")
    elif evidence.checkpoint is None:
        _without_model(result, seal)
    else:
        _with_model(result, run, seal, evidence, until_s, book)
    return result


def _halted(line: str) -> Reason:
    return pause(
        f"the night was halted at its start: {line}",
        "Mend what it names, then run `nightshift check` on the data (1 min).",
    )


def _examine_data(result: Judgement, seal: Seal, book: ScoreBook) -> None:
    """Look for leaks and labels given away; test queries that training has too are left out."""
    data = examine_sealed(seal, book)
    result.reasons += data.reasons
    result.warnings += data.warnings
    result.left_out = data.left_out


def _without_model(result: Judgement, seal: Seal) -> None:
    from verdict.ranking_judgement import judge_data_alone

    result.notes.append("No whole checkpoint of this night could be judged.")
    if seal.night.judge == "ranking":
        judge_data_alone(result, seal)


def _with_model(
    result: Judgement, run: RunDir, seal: Seal, evidence: Evidence, until_s: float, book: ScoreBook
) -> None:
    # Imported here: torch and FAISS take seconds to load, and each kind of night needs only its own.
    if evidence.gave_scores:
        from verdict.given_judgement import judge_given

        judge_given(result, run, seal, evidence, until_s, book)
    elif seal.night.judge == "ranking":
        from verdict.ranking_judgement import judge_ranking

        judge_ranking(result, run, seal, evidence, until_s, book)
    else:
        from verdict.candidate_judgement import judge_candidates

        judge_candidates(result, run, seal, evidence)


def _in_plan_order(
    seal: Seal, found: list[Finding], reasons: list[Reason], judgement: Judgement
) -> list[Finding]:
    """Return one finding per criterion, NOT_MEASURED where there is none."""
    judged = metrics_judged(found)
    grave = gravest(reasons)
    reason = judgement.notes[0].rstrip(".") if judgement.notes else "nothing in this night measures it"
    if grave:
        reason = "not computed, for the reason above" if grave.word is Word.STOP else grave.what
    missing = [not_measured(c, reason) for c in seal.night.criteria if c.metric not in judged]
    order = [criterion.metric for criterion in seal.night.criteria]
    return sorted([*found, *missing], key=lambda item: order.index(item.name))


def _utilisation(run: RunDir, seal: Seal, judgement: Judgement) -> list[Finding]:
    asked = [c for c in seal.night.criteria if c.metric is Metric.GPU_UTILISATION_PCT]
    if not asked:
        return []
    stage = next(stage for stage in seal.night.stages if stage.elastic)
    span = training_span(run, stage.name)
    use = utilisation(read_samples(run.gpu_samples), *span, seal.speed, seal.gpus) if span else None
    if use and span:
        work = work_of(read_events(run.stage(stage.name).events)[0])
        rate = goodput(work, (span[1] - span[0]).total_seconds())
        judgement.reasons += spinning(use, asked[0].above or 0.0, rate)
    no_gpu = "" if seal.gpus else "this machine has no GPU"
    found = judge_utilisation(asked[0], use, why_unsampled(run.gpu_samples) or no_gpu)
    if run.gpu_lost.is_file() and found.state is CriterionState.NOT_MEASURED:
        found = found.model_copy(update={"reason": f"the GPU was lost in the night; {found.reason}"})
    return [found]


def main(path: Path) -> int:
    """Return the exit code: 0 when a verdict was written, 2 where there is no run to judge."""
    run, book = RunDir(path), ScoreBook()
    within_s = float(os.environ.get("NIGHT_JUDGE_WITHIN_S", "inf"))
    began_s = boottime_s()
    try:
        verdict = judge_run(run, within_s, book)
    except NightError as error:
        print(f"judge: {error}", file=sys.stderr)
        return 2
    run.judge.mkdir(exist_ok=True)
    # Written twice: whatever becomes of the decoy, the verdict stands.
    early = verdict.model_copy(update={"decoy": "not made: no time left"})
    write_atomically(run.verdict, early.model_dump_json(indent=1))
    print(f"{verdict.word}: {verdict.sentence} ({verdict.judge_s:.1f} s)")
    verdict = with_decoy(run, verdict, book, within_s - (boottime_s() - began_s))
    write_atomically(run.verdict, verdict.model_dump_json(indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
