"""Every planted and honest night over many seeds: caught or not, criterion state, word, seconds.

    python -m benchmarks.planted_nights [--seeds 20] [--jobs 2] [--only ID ...]

One real night per seed (launched, trained, judged, handed over), then spoiled copies of it. Exits 1 where a
planted night came out GO or MET on what it falsifies, or more than 1 % of the honest ones were flagged.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks import record
from benchmarks.nights.case import Case
from benchmarks.nights.run import CATALOGUE, Outcome, outcomes
from nightshift.states import Word

FLAGGED = (Word.PAUSE_AND_FIX, Word.STOP)
MOST_FLAGGED = 0.01


def row(case: Case, found: Sequence[Outcome]) -> dict[str, object]:
    """Return what one kind of night came out as, over all seeds."""
    words = Counter(one.word for one in found)
    states = Counter(one.state for one in found if one.state)
    as_due = sum(not one.wrong for one in found)
    return {
        "night": case.id,
        "what": case.what,
        "by": case.by or "honest",
        "as it must": f"{as_due}/{len(found)}",
        "word": ", ".join(f"{word} {count}" for word, count in words.most_common()),
        "falsified": ", ".join(f"{state} {count}" for state, count in states.most_common()) or "-",
        "s": round(sum(one.seconds for one in found) / len(found), 1),
    }


def one_seed(seed: int, ids: Sequence[str]) -> list[Outcome]:
    """Return what the nights of one seed came out as."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for one in outcomes(Path(folder), seed, [case for case in CATALOGUE if case.id in ids]):
            found.append(one)
            if one.wrong:
                print(f"seed {seed} {one.case.id}: {one.wrong}", file=sys.stderr, flush=True)
    print(f"seed {seed}: {len(found)} nights", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Return 0 where no false success came through and honest nights were left alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at a time; timings suffer")
    parser.add_argument("--only", nargs="*", default=[])
    asked = parser.parse_args()
    cases = [case for case in CATALOGUE if not asked.only or case.id in asked.only]
    found: list[Outcome] = []
    seeds = range(asked.first, asked.first + asked.seeds)
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        for part in pool.map(one_seed, seeds, [[case.id for case in cases]] * len(seeds)):
            found += part
    planted = [one for one in found if one.case.planted]
    honest = [one for one in found if not one.case.planted]
    went = sum(one.word == Word.GO for one in planted)
    met = sum(one.state == "MET" for one in found)
    flagged = sum(one.word in FLAGGED for one in honest)
    rows = [row(case, [one for one in found if one.case.id == case.id]) for case in cases]
    share = flagged / len(honest) if honest else 0.0
    answer = (
        f"{len(planted)} planted nights ({asked.seeds} seeds): {went} GO, {met} falsely MET. "
        f"{len(honest)} honest nights: {flagged} flagged PAUSE_AND_FIX or STOP ({share:.1%})."
    )
    record.keep(
        "planted_nights",
        "Does a false success come through, and is an honest night left alone?",
        rows,
        answer,
    )
    return int(went > 0 or met > 0 or share > MOST_FLAGGED)


if __name__ == "__main__":
    sys.exit(main())
