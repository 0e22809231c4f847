"""Tonight's decoy: a copy of the night, corrupted in a way drawn by its nonce, which the judge must catch."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np

from nightshift.checkpoint import STATE
from nightshift.rundir import RunDir
from nightshift.states import NightError, Word
from verdict.finding import Verdict
from verdict.forge import reseal, rewrite
from verdict.reasons import pause
from verdict.scorebook import ScoreBook
from verdict.seal import Seal, read_seal

LEAST_S, KEPT_S = 1.5, 0.7
"""With fewer real seconds left no decoy is made; so many are kept for writing the verdict. That never pauses a
night."""
DECOY_WITHIN_S = 6.0
CAUGHT = "caught"


@dataclass(frozen=True)
class Corruption:
    """One way to spoil a night."""

    words: str
    spoil: Callable[[RunDir, Seal], bool]
    """Spoils the copy; false where there is nothing here that it could spoil."""


def _own(path: Path) -> Path:
    """Return the file, no longer shared with the night it was linked from."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    return path


def _any_checkpoint(run: RunDir, seal: Seal) -> Path | None:
    found = [p for s in seal.night.stages for p in sorted(run.stage(s.name).checkpoints.glob("step-*"))]
    return found[-1] if found else None


def one_byte_of_weights(run: RunDir, seal: Seal) -> bool:
    """Flip a byte of the newest checkpoint's largest file."""
    checkpoint = _any_checkpoint(run, seal)
    files = [path for path in checkpoint.iterdir() if path.is_file()] if checkpoint else []
    if not files:
        return False
    path = _own(max(files, key=lambda file: file.stat().st_size))
    content = bytearray(path.read_bytes())
    if not content:
        return False
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    return True


def another_nights_checkpoint(run: RunDir, seal: Seal) -> bool:
    """Give the newest checkpoint the nonce of another night."""
    checkpoint = _any_checkpoint(run, seal)
    if checkpoint is None:
        return False
    path = _own(checkpoint / STATE)
    path.write_text(path.read_text().replace(seal.nonce, seal.nonce[::-1]))
    return True


def easier_criterion(run: RunDir, seal: Seal) -> bool:
    """Ask for less after the fact."""
    path, record = _own(run.seal), json.loads(run.seal.read_text())
    asked = [one for one in record["night"]["criteria"] if one.get("above")]
    if not asked:
        return False
    asked[0]["above"] = asked[0]["above"] / 2
    path.write_text(json.dumps(record))
    return True


def forgotten_line(run: RunDir, seal: Seal) -> bool:
    """Take a line out of the middle of the ledger."""
    lines = run.ledger.read_bytes().splitlines(keepends=True)
    if len(lines) < 3:
        return False
    _own(run.ledger).write_bytes(b"".join(lines[: len(lines) // 2] + lines[len(lines) // 2 + 1 :]))
    return True


def yesterdays_result(run: RunDir, seal: Seal) -> bool:
    """Put a result beside the others that no stage of tonight has written."""
    folder = run.stage(seal.night.stages[-1].name).out
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "yesterday.json").write_text(json.dumps({"nonce": seal.nonce[::-1], "ndcg_at_10": 1.0}))
    return True


def crash_called_done(run: RunDir, seal: Seal) -> bool:
    """Let the last stage that ran have crashed."""
    for stage in reversed(seal.night.stages):
        path = run.stage(stage.name).exit
        if path.is_file():
            record = json.loads(_own(path).read_text())
            path.write_text(json.dumps(record | {"ending": "CRASHED"}))
            return True
    return False


def train_as_test(run: RunDir, seal: Seal) -> bool:
    """Judge on the training split, seal and ledger made to fit."""
    reseal(run, seal, {"test": Path(seal.data.splits["train"].path)})
    return True


def invented_results(run: RunDir, seal: Seal) -> bool:
    """Invent the per-query results that a stage states, the ledger made to fit."""
    path = next((f for s in seal.night.stages if (f := run.stage(s.name).results).is_file()), None)
    if path is None:
        return False
    head, *lines = _own(path).read_text().splitlines()
    rng = np.random.default_rng(seal.seed)
    invented = [json.loads(line) | {"ndcg_at_10": round(float(rng.normal(0.9, 0.05)), 6)} for line in lines]
    path.write_text("\n".join([head, *map(json.dumps, invented)]) + "\n")
    rewrite(run, seal)
    return True


CORRUPTIONS = (
    Corruption("one byte of the weights changed", one_byte_of_weights),
    Corruption("a checkpoint of another night", another_nights_checkpoint),
    Corruption("a criterion made easier after the fact", easier_criterion),
    Corruption("a line of the ledger taken out", forgotten_line),
    Corruption("a result of yesterday", yesterdays_result),
    Corruption("a crashed stage called done", crash_called_done),
    Corruption("the training split judged as the test, resealed", train_as_test),
    Corruption("invented per-query results, resealed", invented_results),
)


def with_decoy(run: RunDir, verdict: Verdict, book: ScoreBook, within_s: float) -> Verdict:
    """Return the verdict with what became of tonight's decoy.

    A decoy that could not be made changes nothing; one that was not caught means that the judge is broken.
    """
    if verdict.word is Word.STOP or within_s < LEAST_S:
        why = (
            "not made: the night is not believed anyway"
            if verdict.word is Word.STOP
            else "not made: no time left"
        )
        return verdict.model_copy(update={"decoy": why})
    try:
        with time_limit(within_s - KEPT_S):
            result = judge_decoy(run, book)
    except (OSError, NightError, ValueError, KeyError, TypeError) as error:
        return verdict.model_copy(update={"decoy": f"not made: {type(error).__name__}"})
    finally:
        shutil.rmtree(run.decoy, ignore_errors=True)
    if result.startswith(CAUGHT):
        return verdict.model_copy(update={"decoy": result})
    broken = pause(
        f"tonight's decoy was {result}", "Do not trust this judge: report it, with this run (15 min)."
    )
    worse = max((verdict.word, broken.word), key=[Word.GO, Word.NO_GAIN, Word.PAUSE_AND_FIX, Word.STOP].index)
    update = {
        "decoy": result,
        "word": worse,
        "sentence": f"Not to be believed yet: {broken.what}.",
        "next_step": broken.mend,
        "findings": [broken.what, *verdict.findings],
    }
    return verdict.model_copy(update=update)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError inside when so many real seconds are over; for the main thread of a process."""
    if not 0 < seconds < float("inf"):
        yield
        return

    def over(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError("no time left")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge_decoy(run: RunDir, book: ScoreBook, corruptions: Sequence[Corruption] = CORRUPTIONS) -> str:
    """Return `caught (how it was spoiled)`, or `not caught (...)`, after the copy was judged."""
    from verdict.judge import judge_run  # the judge calls this module

    seal = read_seal(run)
    rng = np.random.default_rng(list(seal.nonce.encode()))
    for number in rng.permutation(len(corruptions)):
        corruption = corruptions[int(number)]
        copy = hard_linked(run)
        if not corruption.spoil(copy, seal):
            continue
        verdict = judge_run(copy, DECOY_WITHIN_S, book)
        believed = verdict.word in (Word.GO, Word.NO_GAIN)
        return f"{'not caught' if believed else CAUGHT} ({corruption.words})"
    return "not made: nothing here can be spoiled"


def hard_linked(run: RunDir) -> RunDir:
    """Return a copy of a night whose files are the same bytes on disk, without what lives (sockets, the judge)."""
    shutil.rmtree(run.decoy, ignore_errors=True)
    skipped = {run.judge, run.handover}
    for folder, names, files in os.walk(run.path):
        here = Path(folder)
        names[:] = [name for name in names if here / name not in skipped]
        target = run.decoy / here.relative_to(run.path)
        target.mkdir(parents=True, exist_ok=True)
        for file in files:
            if (here / file).is_file():
                os.link(here / file, target / file)
    return RunDir(run.decoy)
