"""The catalogue, judged: what each planted and honest night came out as."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from benchmarks.nights import honest, planted_data, planted_files, planted_metric, planted_work, twins
from benchmarks.nights.case import Case
from benchmarks.nights.lab import LONG_S, SHORT_S, Lab, real_night

CATALOGUE: tuple[Case, ...] = (
    *planted_data.CASES,
    *planted_metric.CASES,
    *planted_files.CASES,
    *planted_work.CASES,
    *honest.CASES,
    *twins.CASES,
)


@dataclass(frozen=True)
class Outcome:
    """One night, judged."""

    case: Case
    seed: int
    word: str
    sentence: str
    state: str
    """Of the falsified criterion; empty where the night falsifies none."""
    seconds: float
    wrong: str
    """Why the verdict is wrong, or empty."""


def outcome(lab: Lab, case: Case) -> Outcome:
    """Return what the judge says of one night of the catalogue."""
    run = case.make(lab, case.id)
    began_s = monotonic()
    verdict = lab.judge(run, LONG_S if case.permuted else SHORT_S)
    took_s = monotonic() - began_s
    states = {finding.name: finding.state for finding in verdict.criteria}
    state = str(states.get(case.falsified, "")) if case.falsified else ""
    shutil.rmtree(run.path.parent, ignore_errors=True)
    return Outcome(case, lab.seed, verdict.word, verdict.sentence, state, took_s, case.wrong(verdict))


def outcomes(folder: Path, seed: int, cases: Sequence[Case] = CATALOGUE) -> Iterator[Outcome]:
    """Yield the outcome of every case over one seed's real night, which takes place first."""
    night = real_night(folder / f"seed-{seed}", seed)
    lab = Lab(night, folder / f"seed-{seed}" / "copies", seed)
    for case in cases:
        yield outcome(lab, case)
