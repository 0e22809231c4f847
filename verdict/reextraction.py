"""Were the features that a trainer used made from the raw inputs? Encode a few items anew and compare."""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from models.feature_sample import FeatureSample, load_sample
from models.scorers import PoolScorer
from nightshift.rundir import RunDir
from verdict.reasons import Reason, stop
from verdict.scored import load_queries
from verdict.seal import Seal

AGREES = 0.99
"""Cosine above which a vector counts as the same: precision and drivers may differ."""
TABLE, TINY = "features", 1e-6
"""A ranker's table of columns, which are compared one by one."""
FEWEST = 16


@dataclass
class Reextraction:
    """What came of it."""

    reasons: list[Reason]
    items: int = 0
    """Items whose every part agreed."""
    note: str = ""
    """Why nothing was compared, where nothing was."""


def reextract(run: RunDir, seal: Seal, stage: str, scorer: PoolScorer) -> Reextraction:
    """Return whether the sample a trainer left is what its own encoders make of the sealed raw inputs."""
    path = run.stage(stage).features
    if not path.is_file():
        return Reextraction([], note="the trainer left no sample of its features, so none was made anew")
    try:
        sample, nonce = load_sample(path)
    except (OSError, ValueError, KeyError, BadZipFile):
        return Reextraction([stop(f"{stage}/{path.name} is not a sample of features")])
    if nonce != seal.nonce:
        return Reextraction([stop(f"{stage}/{path.name} carries the nonce of another night")])
    return _compare(path, sample, seal, scorer)


def _compare(path: Path, sample: FeatureSample, seal: Seal, scorer: PoolScorer) -> Reextraction:
    known = {query.id: query for query in load_queries(seal, sample.split)} if sample.split != "test" else {}
    items = 0
    for query_id, parts in sample.pools.items():
        if query_id not in known:
            return Reextraction(
                [stop(f"{path.name} holds a query that {sample.split} does not: {query_id!r}")]
            )
        anew = scorer.trained_on(known[query_id])
        for name, made in anew.items():
            used = parts.get(name)
            wrong = _unlike(name, used, made)
            if wrong:
                return Reextraction([_fake(name, wrong, len(made))])
        items += min((len(made) for made in anew.values()), default=0)
    return Reextraction([], items, "" if items >= FEWEST else f"only {items} items could be encoded anew")


def _unlike(part: str, used: NDArray[np.float32] | None, made: NDArray[np.float32]) -> int:
    """Return how many rows of `used` are not what `made` is; a value that is missing in both is equal."""
    if used is None or used.shape != made.shape:
        return len(made)
    ours, theirs = np.asarray(made, dtype=np.float64), np.asarray(used, dtype=np.float64)
    missing = np.isnan(ours) != np.isnan(theirs)
    ours, theirs = np.nan_to_num(ours), np.nan_to_num(theirs)
    if part == TABLE:
        # Columns of many scales: a cosine would hear the largest only.
        apart = np.abs(ours - theirs) > (1 - AGREES) * (np.abs(ours) + ours.std(axis=0) + TINY)
        return int((apart | missing).any(axis=1).sum())
    length = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    both_empty = (np.abs(ours).max(axis=1) == 0) & (np.abs(theirs).max(axis=1) == 0)
    cosine = np.where(both_empty, 1.0, (ours * theirs).sum(axis=1) / np.where(length > 0, length, np.inf))
    return int((~(cosine > AGREES) | missing.any(axis=1)).sum())


def _fake(part: str, wrong: int, of: int) -> Reason:
    return stop(
        f"the {part} features that were trained on are not those of the raw inputs: {wrong} of {of} items differ "
        "when encoded anew",
        "Find where they come from (30 min): a missing file replaced by random numbers, or an old cache.",
    )
