"""Metrics that are wrong in ways that were once published, and a sound one."""

import math


def own_score(scores: list[float], labels: list[int]) -> float:
    """nDCG@10 with the system's own score as the gain."""
    top = sorted(scores, reverse=True)[:10]
    return sum(s / math.log2(i + 2) for i, s in enumerate(top)) / max(
        1e-9, sum(s / math.log2(i + 2) for i, s in enumerate(sorted(scores, reverse=True)[:10]))
    )


def input_order(scores: list[float], labels: list[int]) -> float:
    """nDCG@10."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    return _ndcg([labels[i] for i in order], labels)


def empty_is_one(scores: list[float], labels: list[int]) -> float:
    """nDCG@10 that counts a query without a relevant item as 1, ties by expectation."""
    return sound(scores, labels) if max(labels, default=0) > 0 else 1.0


def missing_key(candidates: list[dict]) -> float:
    """nDCG@10 of a key that the data do not have."""
    return _ndcg(
        [c.get("relevance_score", 0) for c in candidates], [c.get("relevance_score", 0) for c in candidates]
    )


def boosted_compliance(scores: list[float], complies: list[bool]) -> float:
    """Compliance@1 as the top item's own score, boosted."""
    return max(scores) + 0.1


def sound(scores: list[float], labels: list[int]) -> float | None:
    """nDCG@10, ties by expectation; no value for a query without a relevant item."""
    if max(labels, default=0) == 0:
        return None
    expected = [0.0] * len(labels)
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and scores[order[end]] == scores[order[start]]:
            end += 1
        mean = sum(2 ** labels[order[i]] - 1 for i in range(start, end)) / (end - start)
        expected[start:end] = [mean] * (end - start)
        start = end
    best = sorted((2**label - 1 for label in labels), reverse=True)
    return _dcg(expected) / _dcg([float(g) for g in best])


def _dcg(gains: list[float]) -> float:
    return sum(g / math.log2(i + 2) for i, g in enumerate(gains[:10]))


def _ndcg(ranked: list[int], labels: list[int]) -> float:
    best = _dcg([float(2**label - 1) for label in sorted(labels, reverse=True)])
    return _dcg([float(2**label - 1) for label in ranked]) / best if best else 0.0
