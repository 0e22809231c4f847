"""The word, the sentence and the next step of the page: never better than any file that survives says."""

from collections.abc import Sequence
from dataclasses import dataclass

from nightshift.rundir import RunDir
from nightshift.states import Word
from tasks.night_status import RUNNING
from tasks.process_identity import ProcessIdentity
from tasks.report_chain import Chain
from tasks.report_records import HandoffRecord, StatusRecord
from verdict.finding import Verdict

BEST_TO_WORST = (Word.GO, Word.NO_GAIN, Word.PAUSE_AND_FIX, Word.STOP)


@dataclass(frozen=True)
class Answer:
    """The page's first three lines."""

    word: Word
    sentence: str
    next_step: str


def answer_of(
    run: RunDir,
    verdict: Verdict | None,
    handoff: HandoffRecord | None,
    status: StatusRecord | None,
    chain: Chain,
    gaps: Sequence[str],
) -> Answer:
    """Return what the morning may believe, given every file and every gap."""
    judged = Answer(verdict.word, verdict.sentence, verdict.next_step) if verdict else _unjudged(gaps)
    answers = [_altered(chain.stop[0])] if chain.stop else []
    if handoff is None:
        answers.append(_not_handed_over(run, status, verdict))
    answers.append(judged)
    if handoff is not None and handoff.word != judged.word:
        answers.append(_judged_again(handoff.word, judged.word))
    if gaps:
        answers.append(_not_whole(gaps))
    return max(answers, key=lambda answer: BEST_TO_WORST.index(answer.word))


def _unjudged(gaps: Sequence[str]) -> Answer:
    why = next((gap for gap in gaps if gap.startswith("judge/")), "there is no verdict")
    return Answer(
        Word.PAUSE_AND_FIX,
        f"The night was not judged: {why}.",
        "Read judge/output.log in the run folder (2 min), then run `nightshift judge RUN` (1 min).",
    )


def _altered(why: str) -> Answer:
    return Answer(
        Word.STOP,
        f"Nothing of this night may be used: {why}.",
        "Find out what changed the run folder (10 min), and run the night again (8 h).",
    )


def _not_whole(gaps: Sequence[str]) -> Answer:
    more = f" (and {len(gaps) - 1} more)" if len(gaps) > 1 else ""
    return Answer(
        Word.PAUSE_AND_FIX,
        f"The run folder is not whole, so nothing is claimed: {gaps[0]}{more}.",
        "Bring the file back (5 min), then write the report again with `nightshift report RUN` (1 min).",
    )


def _judged_again(handed_over: Word, judged: Word) -> Answer:
    return Answer(
        handed_over,
        f"Judged again as {judged}, but handed over as {handed_over}, which is what the next night reads.",
        "Read what the criteria say now (2 min); to hand over anew, run the night again (8 h).",
    )


def _not_handed_over(run: RunDir, status: StatusRecord | None, verdict: Verdict | None) -> Answer:
    identity = ProcessIdentity.read(run.nightwatch_identity)
    if status is not None and status.state == RUNNING and (identity is None or identity.alive()):
        step = f" It is at: {status.step}." if status.step else ""
        return Answer(
            Word.PAUSE_AND_FIX,
            f"This night is not handed over yet.{step}",
            "Wait for the hand-over, or look with `nightshift watch` (1 min).",
        )
    seen = f" (the judge said {verdict.word})" if verdict else ""
    return Answer(
        Word.PAUSE_AND_FIX,
        f"This night was never handed over{seen}: nothing keeps it any more.",
        "Read nightwatch.log in the run folder (5 min), mend it, and rehearse (3 min) before the next night.",
    )
