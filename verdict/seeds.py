"""Several seeds of one design, and what it is compared with: nDCG per query, averaged over seeds first."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from nightshift.instant import boottime_s
from verdict.evidence import Evidence
from verdict.scorebook import ScoreBook
from verdict.scored import ScoredSplit
from verdict.seal import Seal
from verdict.statistics import t_interval

Floats = NDArray[np.float64]


@dataclass
class SeedScores:
    """nDCG@10 per usable query of one split, seed by seed."""

    chosen: dict[int, Floats] = field(default_factory=dict)
    reference: dict[int, Floats] = field(default_factory=dict)
    """The plain alternative that the trainer names, trained in the same night."""
    reference_words: str = ""
    not_judged: int = 0
    """Trained seeds that no time was left for."""

    @property
    def mean(self) -> Floats:
        """Return the mean over seeds per query."""
        return np.asarray(np.mean(list(self.chosen.values()), axis=0), dtype=np.float64)

    def facts(self, v1: Floats) -> dict[str, JsonValue]:
        """Return what is printed of the seeds: each one's score, their spread, the reference beside them."""
        seeds: list[JsonValue] = [
            {"seed": seed, "ndcg_at_10": float(values.mean()), "gain": float((values - v1).mean())}
            for seed, values in self.chosen.items()
        ]
        facts: dict[str, JsonValue] = {"seeds": seeds}
        if len(self.chosen) > 1:
            spread = np.std([values.mean() for values in self.chosen.values()], ddof=1)
            facts["between_seeds_sd"] = float(spread)
        if self.reference and self.mean.size > 1:
            other = np.mean(list(self.reference.values()), axis=0)
            difference = t_interval(self.mean - other)
            facts["over_reference"] = {
                "reference": self.reference_words,
                "ndcg_at_10": float(other.mean()),
                "difference": difference.mean,
                "low": difference.low,
                "high": difference.high,
                "seeds": len(self.reference),
            }
        return facts


def judge_seeds(
    seal: Seal, evidence: Evidence, known: ScoredSplit, took_s: float, until_s: float, book: ScoreBook
) -> SeedScores:
    """Return the test split scored by every trained seed of the chosen design, then by the reference.

    `known` are the judged checkpoint's own scores of it, which took `took_s` real seconds;
    a seed that would not be ready `until_s` (seconds since boot) is left out, and counted.
    """
    result = SeedScores(reference_words=evidence.reference_words)
    result.chosen[evidence.seed if evidence.seed is not None else seal.seed] = known.ndcg(known.new)
    wanted = {s: path for s, path in evidence.siblings.items() if s not in result.chosen}
    score = partial(_score, seal, book, known.left_out, took_s, until_s)
    result.not_judged = score(wanted, result.chosen)
    score(evidence.reference, result.reference)
    return result


def _score(
    seal: Seal,
    book: ScoreBook,
    left_out: frozenset[str],
    took_s: float,
    until_s: float,
    checkpoints: Mapping[int, Path],
    into: dict[int, Floats],
) -> int:
    """Score what there is time for; return how many were left out."""
    for number, (seed, path) in enumerate(sorted(checkpoints.items())):
        if boottime_s() + 1.5 * took_s > until_s:
            return len(checkpoints) - number
        scored = replace(book.split(seal, path, "test"), left_out=left_out)
        into[seed] = scored.ndcg(scored.new)
    return 0
