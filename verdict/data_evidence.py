"""What the data themselves say, before any model is scored: leaks, and labels that are given away."""

from dataclasses import dataclass, field

from models.dataset import SPLITS
from verdict.leaks import Splits, class_counts, find_leaks
from verdict.probes import probe
from verdict.reasons import Reason
from verdict.scorebook import ScoreBook, content
from verdict.scored import ScoredSplit, baseline, labels_of, load_queries, load_splits
from verdict.seal import Seal


@dataclass(frozen=True)
class DataEvidence:
    """Leaks, probes and counts."""

    reasons: list[Reason] = field(default_factory=list)
    left_out: frozenset[str] = frozenset()
    warnings: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def examine(splits: Splits) -> DataEvidence:
    """Return what the three splits give away."""
    leaks, probes = find_leaks(splits), probe(splits)
    counts = {name: class_counts(split) for name, split in splits.items()}
    lines = [*leaks.lines, *probes.lines]
    lines += [f"labels in {name}: {_spoken(grades)}" for name, grades in counts.items()]
    lines += [
        f"{name} has one label only: nothing can be learned or judged there"
        for name, grades in counts.items()
        if len(grades) < 2
    ]
    return DataEvidence(
        [*leaks.reasons, *probes.reasons], frozenset(leaks.left_out), list(leaks.warnings), lines
    )


def examine_sealed(seal: Seal, book: ScoreBook) -> DataEvidence:
    """Return what the sealed splits give away, looked at once per content."""
    return book.once(("data", *content(seal, *SPLITS)), lambda: examine(load_splits(seal)))


def _spoken(grades: dict[int, int]) -> str:
    return ", ".join(f"{count:,} x {grade}" for grade, count in grades.items())


def v1_only(seal: Seal, split: str, left_out: frozenset[str] = frozenset()) -> ScoredSplit:
    """Return a split as V1.0 alone ranks it: what can be said of the data without a model."""
    queries = load_queries(seal, split)
    scores, _ = baseline(seal, queries)
    return ScoredSplit(queries, [], scores, scores, labels_of(queries), left_out)


def has_no_picture(seal: Seal) -> bool:
    """Return whether this is a multimodal data set in which no item has a picture."""
    return seal.data.kind == "multimodal" and seal.data.images is None
