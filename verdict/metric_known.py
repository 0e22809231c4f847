"""The usual ranking metrics on rankings without ties, to tell which one a person's function is.

Recognising the metric is what makes strict controls fair: a perfect ranking need not reach 1 in
precision@10, and a random one does reach .9 in "any hit among ten". Shapes: Q queries, N candidates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verdict.metric_form import Case

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
SAME = 1e-6
"""So far apart two implementations may be, float32 among them."""
GAINS = {"gain 2^label - 1": True, "gain is linear, not 2^label - 1": False}


@dataclass(frozen=True)
class Known:
    """A metric that was recognised."""

    name: str
    gain: str = ""
    """How labels become gains; empty for metrics of relevant or not."""
    wrong: str = ""
    """Why it is no sound metric; empty where it is one."""
    values: Floats | None = None
    """Its value per query, shape (Q,)."""


def ranked_labels(cases: Sequence[Case]) -> Labels:
    """Return the labels in the order of the scores, shape (Q, N); all pools have N candidates."""
    return np.array([case.labels[np.argsort(-case.scores, kind="stable")] for case in cases])


def _cuts(size: int) -> list[int]:
    # The usual cutoffs first: where pools are short, several give the same values.
    return [10, 5, 1, size, *(k for k in range(2, size) if k not in (5, 10))]


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _graded(labels_QN: Labels) -> Iterator[Known]:
    """Yield nDCG at every cutoff, with either gain, and with the mistake of an ideal that sees only the top."""
    size = labels_QN.shape[1]
    # Jarvelin and Kekalainen (2002) leave the first two ranks undiscounted; Burges et al. (2005) only the first.
    discounts = 1 / np.log2(np.arange(2, size + 2))
    first_free = 1 / np.maximum(1, np.log2(np.arange(1, size + 1)))
    for k in _cuts(size):
        name = f"nDCG@{k}" if k < size else "nDCG"
        for words, power in GAINS.items():
            gains = np.exp2(labels_QN) - 1 if power else labels_QN.astype(np.float64)
            ideal, top = -np.sort(-gains, axis=1), -np.sort(-gains[:, :k], axis=1)
            for weights, variant in ((discounts, ""), (first_free, " (discount of 2002)")):
                dcg, best = gains[:, :k] @ weights[:k], ideal[:, :k] @ weights[:k]
                yield Known(name + variant, words, "", _ratio(dcg, best))
                own = "the best possible value is taken from the first items shown, not from the whole pool"
                if k < size:
                    yield Known(name + variant, words, own, _ratio(dcg, top @ weights[:k]))


def _binary(labels_QN: Labels) -> Iterator[Known]:
    """Yield precision, recall, hits, reciprocal rank and average precision, from every grade on."""
    size = labels_QN.shape[1]
    ranks = np.arange(1, size + 1)
    for grade in range(1, int(labels_QN.max()) + 1):
        relevant = (labels_QN >= grade).astype(np.float64)
        total, found = relevant.sum(axis=1), np.cumsum(relevant, axis=1)
        precise, words = relevant * found / ranks, f" (label {grade} or more)" if grade > 1 else ""
        first = np.where(total > 0, 1 / (1 + relevant.argmax(axis=1)), 0.0)
        for k in _cuts(size):
            at = f"@{k}" if k < size else ""
            summed = precise[:, :k].sum(axis=1)
            yield Known(f"precision{at}{words}", values=found[:, k - 1] / k)
            yield Known(f"recall{at}{words}", values=_ratio(found[:, k - 1], total))
            yield Known(f"hit rate{at}{words}", values=(found[:, k - 1] > 0).astype(np.float64))
            yield Known(f"MRR{at}{words}", values=np.where(first >= 1 / k - 1e-12, first, 0.0))
            yield Known(f"average precision{at}{words}", values=_ratio(summed, total))
            yield Known(f"average precision{at}{words}", values=_ratio(summed, np.minimum(total, k)))


def _cascades(labels_QN: Labels) -> Iterator[Known]:
    """Yield expected reciprocal rank (Chapelle et al. 2009) and rank-biased precision (Moffat, Zobel 2008)."""
    size, highest = labels_QN.shape[1], int(labels_QN.max())
    ranks = np.arange(1, size + 1)
    for top in range(highest, 5):
        stops = (np.exp2(labels_QN) - 1) / 2.0**top
        alive = np.cumprod(np.c_[np.ones(len(stops)), 1 - stops], axis=1)[:, :-1]
        for k in (size, 10, 5, 20):
            yield Known(f"ERR@{k}" if k < size else "ERR", values=(alive * stops / ranks)[:, :k].sum(axis=1))
    for patience in (0.5, 0.8, 0.9, 0.95):
        weights = (1 - patience) * patience ** (ranks - 1.0)
        yield Known(f"rank-biased precision ({patience:g})", values=(labels_QN > 0) @ weights)


def recognise(cases: Sequence[Case], values: Floats) -> Known | None:
    """Return the usual metric that agrees on every one of these rankings, else None.

    `values` has one number per case; scores must not tie.
    """
    labels_QN = ranked_labels(cases)
    for family in (_graded, _binary, _cascades):
        for known in family(labels_QN):
            if known.values is not None and np.abs(known.values - values).max() < SAME:
                return known
    return None
