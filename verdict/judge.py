"""The judge: a process of its own that believes nothing it has not recomputed."""

import json
import os
import sys
from datetime import datetime
from pathlib import Path

from nightshift.checkpoint import manifest_sha256, write_atomically
from nightshift.instant import boottime_s, parse_utc
from nightshift.rundir import RunDir
from nightshift.states import Metric, NightError
from verdict.criteria import metrics_judged, not_measured
from verdict.evidence import Evidence, gather
from verdict.finding import Finding, Verdict, word_of
from verdict.judgement import Judgement
from verdict.seal import Seal, read_seal
from verdict.utilisation import judge_utilisation, read_samples, utilisation
from verdict.wording import next_step_of, sentence_of

START_S = 3.0
"""Real seconds that the interpreter has taken before, and writing the verdict takes behind."""


def judge_run(run: RunDir, within_s: float = float("inf")) -> Verdict:
    """Return the verdict on a run directory; nothing is written.

    With `within_s` real seconds to go, what may be shortened (permutations) is.

    Raises NightError where there is no run to judge.
    """
    began_s = boottime_s()
    seal = read_seal(run)
    evidence = gather(run, seal)
    judgement = _judgement(run, seal, evidence, began_s + within_s - START_S)
    findings = _in_plan_order(seal, [*judgement.findings, *_utilisation(run, seal)], judgement)
    stop = [*evidence.stop, *judgement.stop]
    word = word_of(findings, stop, evidence.broken)
    checkpoint = evidence.checkpoint
    return Verdict(
        word=word,
        sentence=sentence_of(word, findings, stop, evidence.broken, judgement.notes),
        next_step=next_step_of(word, findings, stop, evidence.broken),
        criteria=tuple(findings),
        checkpoint=str(checkpoint.relative_to(run.path)) if checkpoint else None,
        checkpoint_sha256=manifest_sha256(checkpoint) if checkpoint else None,
        scores=judgement.scores,
        modalities=judgement.modalities,
        pools=judgement.pools,
        encoders=judgement.encoders,
        findings=[*stop, *evidence.broken.values(), *judgement.notes],
        warnings=[*evidence.warnings, *judgement.warnings],
        per_query_gains=judgement.gains,
        latency=judgement.latency,
        loss_facts=judgement.loss_facts,
        judge_s=round(boottime_s() - began_s, 2),
    )


def _judgement(run: RunDir, seal: Seal, evidence: Evidence, until_s: float) -> Judgement:
    # Imported here: torch and FAISS take seconds to load, and each kind of night needs only its own.
    if evidence.stop:
        return Judgement(notes=["Scores were not computed: what they would be computed from is not sound."])
    if seal.night.judge == "ranking":
        from verdict.ranking_judgement import judge_ranking

        return judge_ranking(seal, evidence, until_s)
    if seal.night.judge == "candidates":
        from verdict.candidate_judgement import judge_candidates

        return judge_candidates(run, seal, evidence)
    return Judgement(notes=["The plan gives this night nothing that could be judged (judge = none)."])


def _in_plan_order(seal: Seal, found: list[Finding], judgement: Judgement) -> list[Finding]:
    """Return one finding per criterion, NOT_MEASURED where there is none."""
    judged = metrics_judged(found)
    reason = judgement.notes[0].rstrip(".") if judgement.notes else "nothing in this night measures it"
    missing = [not_measured(c, reason) for c in seal.night.criteria if c.metric not in judged]
    order = [criterion.metric for criterion in seal.night.criteria]
    return sorted([*found, *missing], key=lambda item: order.index(item.name))


def _utilisation(run: RunDir, seal: Seal) -> list[Finding]:
    asked = [c for c in seal.night.criteria if c.metric is Metric.GPU_UTILISATION_PCT]
    if not asked:
        return []
    span = _training_span(run, seal)
    use = utilisation(read_samples(run.gpu_samples), *span, seal.speed) if span else None
    no_gpu = "this machine has no GPU" if seal.device == "cpu" else ""
    return [judge_utilisation(asked[0], use, no_gpu)]


def _training_span(run: RunDir, seal: Seal) -> tuple[datetime, datetime] | None:
    """Return from first spawn to end of the elastic stage, restarts included."""
    stage = next(stage for stage in seal.night.stages if stage.elastic)
    try:
        attempts = json.loads(run.stage(stage.name).exit.read_text())["attempts"]
        return parse_utc(attempts[0]["start"]), parse_utc(attempts[-1]["end"])
    except (OSError, ValueError, KeyError, IndexError):
        return None


def main(path: Path) -> int:
    """Return the exit code: 0 when a verdict was written, 2 where there is no run to judge."""
    run = RunDir(path)
    try:
        verdict = judge_run(run, float(os.environ.get("NIGHT_JUDGE_WITHIN_S", "inf")))
    except NightError as error:
        print(f"judge: {error}", file=sys.stderr)
        return 2
    run.judge.mkdir(exist_ok=True)
    write_atomically(run.verdict, verdict.model_dump_json(indent=1))
    print(f"{verdict.word}: {verdict.sentence} ({verdict.judge_s:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
