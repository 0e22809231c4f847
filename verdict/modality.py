"""Does the model use a modality? Permute it across queries and see what it costs."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.dataset import Query
from models.metrics import ndcg_per_query
from models.scorers import PoolScorer
from nightshift.checkpoint import manifest_sha256
from nightshift.instant import boottime_s
from verdict.finding import ModalityFinding
from verdict.judgement import Judgement
from verdict.reasons import pause
from verdict.scorebook import ScoreBook, content
from verdict.scored import ScoredSplit, permuted
from verdict.seal import Seal
from verdict.statistics import N_MIN, t_interval

Floats = NDArray[np.float64]

MODALITIES = ("image", "text", "attributes")
LEAST_S = 1.0
"""With fewer real seconds left, a modality is not permuted."""
NEGLIGIBLE = 0.01
"""A drop whose upper bound is below this counts as NOT USED."""
PERMUTATIONS, FEWEST = 20, 2
QUERIES = 150
"""Of a larger split a sealed random part is permuted: every permutation encodes it anew."""


def judge_modality(
    scorer: PoolScorer, split: ScoredSplit, modality: str, seed: int, within_s: float = float("inf")
) -> ModalityFinding:
    """Return USED, NOT USED or NOT SHOWN for one modality, from raw inputs permuted across queries.

    Averages 20 permutations, or as many (two at least) as fit `within_s` real seconds.
    """
    queries = [query for query in split.queries if isinstance(query, Query)]
    if not _present(queries, modality):
        return ModalityFinding(state="ABSENT")
    rng = np.random.default_rng(seed)
    kept = np.array(split.usable)
    if kept.size < N_MIN:
        return ModalityFinding(state="NOT_MEASURED")
    chosen = sorted(rng.choice(kept, size=min(QUERIES, kept.size), replace=False))
    some, labels = [queries[i] for i in chosen], [split.relevance[i] for i in chosen]
    intact = ndcg_per_query([split.new[i] for i in chosen], labels)
    began_s = boottime_s()
    permuted_ndcg: list[Floats] = []
    while len(permuted_ndcg) < PERMUTATIONS:
        scores = scorer.score_many(scorer.encode(permuted(some, modality, rng)))
        permuted_ndcg.append(ndcg_per_query([np.asarray(s, float) for s in scores], labels))
        if len(permuted_ndcg) >= FEWEST and boottime_s() - began_s > within_s:
            break
    drop = t_interval(intact - np.mean(permuted_ndcg, axis=0))
    state = "USED" if drop.low > 0 else "NOT USED" if drop.high < NEGLIGIBLE else "NOT SHOWN"
    return ModalityFinding(
        state=state, drop=drop.mean, low=drop.low, high=drop.high, permutations=len(permuted_ndcg), n=drop.n
    )


def judge_modalities(
    result: Judgement,
    seal: Seal,
    checkpoint: Path,
    scorer: PoolScorer,
    test: ScoredSplit,
    until_s: float,
    book: ScoreBook,
) -> None:
    """Judge every modality of a multimodal night, and what its plan claims of them."""
    for number, modality in enumerate(MODALITIES):
        left_s = (until_s - boottime_s()) / (len(MODALITIES) - number)
        key = (
            "modality",
            modality,
            manifest_sha256(checkpoint),
            seal.seed,
            *content(seal, "test"),
            test.left_out,
        )
        if modality not in scorer.modalities:
            if seal.data.kind == "multimodal":
                result.modalities[modality] = ModalityFinding(state="ABSENT")
        elif left_s < LEAST_S:
            result.modalities[modality] = ModalityFinding(state="NOT_MEASURED")
        else:
            result.modalities[modality] = book.once(
                key, partial(judge_modality, scorer, test, modality, seal.seed, 0.7 * left_s)
            )
    for modality in seal.night.claims:
        _claim(result, modality)


def _claim(result: Judgement, modality: str) -> None:
    """A claim that permuting refutes is mended before the night is believed; an open one is said."""
    found = result.modalities.get(modality)
    state = found.state if found else "ABSENT"
    if state in ("NOT USED", "ABSENT"):
        why = (
            "exchanging it between items costs nothing"
            if state == "NOT USED"
            else "the model does not read it"
        )
        result.reasons.append(
            pause(
                f"the plan claims {modality}, and {why}",
                f'Take "{modality}" out of `claims` in the plan (1 min) and judge again, or find out why it carries '
                "no signal (30 min).",
            )
        )
    elif state != "USED":
        result.warnings.append(f"the plan claims {modality}, but its use is {state.replace('_', ' ')}")


def _present(queries: Sequence[Query], modality: str) -> bool:
    candidates = [candidate for query in queries for candidate in query.candidates]
    if modality == "image":
        return any(candidate.image is not None for candidate in candidates)
    if modality == "text":
        return any(candidate.text for candidate in candidates)
    return any(candidate.attributes for candidate in candidates)
