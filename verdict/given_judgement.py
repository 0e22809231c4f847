"""A night whose model cannot be loaded here: the scores it gave for the sealed splits are judged, and nothing else."""

from dataclasses import replace

from models.given_scores import GivenScores
from nightshift.instant import boottime_s
from nightshift.rundir import RunDir
from nightshift.states import Metric, NightError
from verdict.criteria import judge_compliance, not_measured
from verdict.evidence import Evidence
from verdict.judgement import Judgement
from verdict.ranking_judgement import SEEDS_LEAVE_S, gain_of, judge_data_alone, stated_wrongly
from verdict.ranking_scores import record_scores
from verdict.reasons import pause
from verdict.scorebook import ScoreBook
from verdict.seal import Seal
from verdict.seeds import judge_seeds

TOLD = (
    "Scores were given in a file: their order is judged on sealed labels that the trainer never had from Nightshift; "
    "that a model gave them, how fast it is and what it reads is not shown."
)
PERFECT = 0.9999
"""Mean nDCG@10 from which given scores are taken for labels until a person has looked."""
NOT_RUN = "scores were given in a file, the model was not run here"


def judge_given(
    result: Judgement, run: RunDir, seal: Seal, evidence: Evidence, until_s: float, book: ScoreBook
) -> None:
    """Judge given scores; `until_s` is the second since boot at which further seeds must be over."""
    assert evidence.checkpoint is not None
    try:
        scorer = book.scorer(evidence.checkpoint, "cpu")
    except NightError as error:
        result.reasons.append(
            pause(str(error), "Write them with nightshift.given_scores.save_scores (15 min).")
        )
        return
    assert isinstance(scorer, GivenScores)
    began_s = boottime_s()
    test = replace(book.split(seal, evidence.checkpoint, "test"), left_out=result.left_out)
    splits = {"test": test, "val": book.split(seal, evidence.checkpoint, "val")}
    missing = scorer.missing([test.queries[row] for row in test.usable])  # type: ignore[arg-type]
    if missing:
        told = f"no scores, or another number of them, for {len(missing)} of {len(test.usable)} test queries"
        mend = "Score every query of NIGHT_INPUTS' `test_unlabelled`, one score per candidate in its order (15 min)."
        result.reasons.append(pause(f"{told}, {missing[0]!r} among them", mend))
    elif test.usable and float(test.ndcg(test.new).mean()) > PERFECT:
        told = "the given scores put every test pool into its perfect order, as the labels themselves would"
        result.reasons.append(
            pause(told, "Look where the scores come from (15 min): a model errs somewhere.")
        )
    result.reasons += stated_wrongly(run, seal, evidence, splits, result)
    if result.reasons or not test.usable:
        judge_data_alone(result, seal)
        return
    seeds = judge_seeds(seal, evidence, test, boottime_s() - began_s, until_s - SEEDS_LEAVE_S, book)
    record_scores(result, seal, evidence, splits, seeds)
    result.warnings.append(TOLD)
    result.warnings += [
        f"the plan claims {one}, but its use is not measured: {NOT_RUN}" for one in seal.night.claims
    ]
    for criterion in seal.night.criteria:
        if criterion.metric is Metric.VALIDATION_NDCG:
            result.findings.append(gain_of(criterion, seal, test, seeds.mean, result.reasons))
        elif criterion.metric is Metric.COMPLIANCE_AT_1:
            result.findings.append(judge_compliance(criterion, test.queries, test.new, test.v1))
        elif criterion.metric in (Metric.INFERENCE_MS, Metric.TRAINING_LOSS):
            result.findings.append(not_measured(criterion, NOT_RUN))
