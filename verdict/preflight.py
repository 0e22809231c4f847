"""The verdict at 23:00: can tonight answer the question at all? Before any GPU hour is spent."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.dataset import SPLITS, Query
from nightshift.states import Metric, Word
from schedules.plan import Criterion, Night
from verdict.cache_check import check_cache
from verdict.controls import head_room, metric_failures
from verdict.data_evidence import examine_sealed, has_no_picture, v1_only
from verdict.own_metric import check_own_metric
from verdict.proxy import Proxy, stand_in
from verdict.reasons import Reason, gravest
from verdict.scorebook import ScoreBook, content
from verdict.scored import ScoredSplit, load_splits
from verdict.seal import Seal, SealedPreflight
from verdict.sealed_evidence import other_baseline
from verdict.statistics import N_MIN, SPREAD, minimum_detectable_effect, widened_sd

POWER_Z = 1.645 + 0.842
"""One-sided 5 % and 80 % power: what showing "kept" takes."""


def preflight(seal: Seal, book: ScoreBook | None = None) -> SealedPreflight:
    """Return what is known before the start: one sentence, why the night is halted (if so), and the rest.

    Reads all three splits; no model of the night is scored, the test labels tell V1.0's head-room only.
    A `book` keeps what several nights on the same data share.
    """
    book = book or ScoreBook()
    if seal.night.judge == "none":
        return SealedPreflight(
            sentence="Nothing of this night will be judged: its plan says so.", can_answer=False
        )
    data, same = examine_sealed(seal, book), content(seal, *SPLITS)
    cached, compared = book.once(("cache", *same), lambda: _cache(seal))
    own = check_own_metric(seal, book)
    reasons = [*data.reasons, *cached, *own, *other_baseline(seal)]
    facts = _Facts(
        seal, v1_only(seal, "test", data.left_out), book.once(("proxy", *same), lambda: _proxy(seal))
    )
    sentence, can_answer = facts.sentence(reasons)
    lines = [*data.warnings, *facts.lines(), *([compared] if compared else []), *data.lines]
    halted = [reason.what for reason in sorted(reasons, key=lambda one: one.word is not Word.STOP)]
    if not halted and not can_answer and seal.plan.halt_if_cannot_answer:
        halted = [sentence]
    return SealedPreflight(
        sentence=sentence,
        can_answer=can_answer and not halted,
        halted=tuple(halted),
        lines=tuple(lines),
        minimum_detectable_effect=facts.effect,
        head_room=facts.room,
        compliance_queries=facts.compliance_queries(),
        left_out=tuple(sorted(data.left_out)),
    )


def _cache(seal: Seal) -> tuple[list[Reason], str]:
    searches = [q for split in load_splits(seal).values() for q in split if isinstance(q, Query)]
    return check_cache(Path(seal.home) / ".cache", searches, seal.seed)


def _proxy(seal: Seal) -> Proxy | None:
    train, val = v1_only(seal, "train"), v1_only(seal, "val")
    return stand_in(train.queries, val.queries, train.v1, val.v1)


def asked_of(night: Night) -> Criterion | None:
    """Return the criterion on the gain in nDCG, or None where the night asks for none."""
    return next((c for c in night.criteria if c.metric is Metric.VALIDATION_NDCG), None)


class _Facts:
    """Head-room, minimum detectable effect and counts of one night."""

    def __init__(self, seal: Seal, test: ScoredSplit, proxy: Proxy | None) -> None:
        self.seal, self.test, self.proxy = seal, test, proxy
        self.criterion = asked_of(seal.night)
        self.n = len(test.usable)
        v1 = test.ndcg(test.v1)
        self.v1 = float(v1.mean()) if self.n else math.nan
        self.room = head_room(self.v1) if self.n else None
        self.effect = self._effect()

    def _effect(self) -> float | None:
        if self.proxy is None or self.n < 2 or self.criterion is None:
            return None
        sd = float(np.std(self.proxy.differences, ddof=1))
        widened = widened_sd(sd, self.proxy.differences.size)
        return minimum_detectable_effect(max(widened, SPREAD), self.n)

    @property
    def hoped(self) -> float:
        """The gain the person hopes for, else asks for."""
        return (self.criterion.target or self.criterion.above or 0.0) if self.criterion else 0.0

    def sentence(self, reasons: Sequence[Reason]) -> tuple[str, bool]:
        """Return the one sentence of 23:00, and whether tonight can answer."""
        grave = gravest(reasons)
        if grave is not None:
            return f"Halted before any GPU hour is spent: {grave.what}.", False
        cannot = self._cannot()
        if cannot:
            return f"Tonight cannot answer: {cannot}.", False
        if self.criterion is None:
            return f"Nothing speaks against tonight: {self.n} test queries, no leak found.", True
        if self.effect is None:
            return (
                f"How small a gain {self.n} test queries can show is not known: validation is too small.",
                True,
            )
        shown = f"{self.n} test queries show a gain of {self.effect:.3f} or more"
        return f"Tonight can answer: {shown}, and {self.hoped:g} is hoped for.", True

    def _cannot(self) -> str:
        wrong = (
            metric_failures(self.test.v1, self.test.relevance, self.seal.seed) if self.test.relevance else []
        )
        if wrong:
            return wrong[0]
        if self.seal.night.judge == "candidates" and self.seal.data.kind == "letor":
            return "candidates need queries and items in words, and these data have features only"
        if self.n < N_MIN:
            return f"{self.n} test queries are too few; {N_MIN} are the least"
        if self.criterion is None:
            return ""
        if self.room is not None and self.room < self.hoped:
            pictures = "; no item has a picture" if has_no_picture(self.seal) else ""
            left = f"which leaves {self.room:.4f} for a hoped gain of {self.hoped:g}"
            return f"saturated: V1.0 already scores {self.v1:.4f}, {left}{pictures}"
        if self.effect is not None and self.effect > self.hoped > 0:
            needed = math.ceil(self.n * (self.effect / self.hoped) ** 2)
            shown = f"{self.n} test queries show a gain only from {self.effect:.3f} on, and {self.hoped:g} is hoped for"
            return f"{shown}; about {needed} queries would do"
        return ""

    def compliance_queries(self) -> int | None:
        """Return how many queries showing Compliance@1 kept would take, or None where that is not known."""
        kept = next((c for c in self.seal.night.criteria if c.metric is Metric.COMPLIANCE_AT_1), None)
        if kept is None or kept.kept_within is None or self.proxy is None or self.proxy.discordant is None:
            return None
        return math.ceil(POWER_Z**2 * max(self.proxy.discordant, 0.01) / kept.kept_within**2)

    def lines(self) -> list[str]:
        """Return what else is known, one sentence each."""
        found = []
        if self.n:
            found.append(
                f"V1.0 scores nDCG@10 {self.v1:.4f} on {self.n} test queries, {self.room:.4f} is left above"
            )
        unusable = len(self.test.relevance) - self.n
        if unusable:
            found.append(
                f"{unusable} test queries are not judged: one grade only, none relevant, or in training too"
            )
        needed = self.compliance_queries()
        asks = any(c.metric is Metric.COMPLIANCE_AT_1 for c in self.seal.night.criteria)
        if needed is not None and needed > self.n:
            found.append(
                f"Compliance@1 kept takes about {needed:,} queries to show; {self.n} can probably not show it"
            )
        elif asks and needed is None:
            found.append(
                "Compliance@1 cannot be measured: the data have no labels of hard constraints (complies)"
            )
        return found
