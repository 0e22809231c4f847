"""A few pools as a trainer really fed them to its model, so that the judge can encode them anew and compare."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nightshift.rundir import StageDir

if TYPE_CHECKING:
    from models.fusion_pools import Pools
    from models.ranker_data import RankingData

Floats = NDArray[np.float32]
QUERIES = 2
"""Pools kept: with usual pools of 30 that is far more than 16 items."""


@dataclass(frozen=True)
class FeatureSample:
    """Pools of one split, as arrays."""

    split: str
    pools: Mapping[str, Mapping[str, Floats]]
    """Query -> part (a modality, or `features`) -> shape (candidates, width)."""


def chosen_queries(count: int, nonce: str) -> list[int]:
    """Return which queries are kept: drawn by the night's nonce, so that nobody can prepare them."""
    rng = np.random.default_rng(list(nonce.encode()))
    return sorted(int(i) for i in rng.choice(count, size=min(QUERIES, count), replace=False))


def save_sample(folder: StageDir, sample: FeatureSample, nonce: str) -> None:
    """Write the sample into a stage's results, with the night's nonce; a full disk only costs the sample."""
    folder.out.mkdir(parents=True, exist_ok=True)
    arrays = {
        f"{number}/{part}": values
        for number, parts in enumerate(sample.pools.values())
        for part, values in parts.items()
    }
    head = json.dumps({"nonce": nonce, "split": sample.split, "queries": list(sample.pools)})
    aside = folder.features.with_suffix(".tmp")
    try:
        with aside.open("wb") as file:
            np.savez(file, head=np.array(head), **arrays)  # type: ignore[arg-type]
        aside.replace(folder.features)
    except OSError as error:
        aside.unlink(missing_ok=True)
        print(f"no sample of the features: {error}")


def load_sample(path: Path) -> tuple[FeatureSample, str]:
    """Return a stage's sample and the nonce it carries.

    Raises ValueError, KeyError or OSError where the file is not one.
    """
    with np.load(path, allow_pickle=False) as stored:
        head = json.loads(str(stored["head"]))
        pools = {
            query: {
                name.partition("/")[2]: stored[name] for name in stored.files if name.startswith(f"{number}/")
            }
            for number, query in enumerate(head["queries"])
        }
    return FeatureSample(str(head["split"]), pools), str(head["nonce"])


def sample_of_pools(pools: "Pools", nonce: str) -> FeatureSample:
    """Return some training pools of a fusion model, from the very tensors that it is trained on."""
    kept = {}
    for row in chosen_queries(len(pools.queries), nonce):
        query = pools.queries[row]
        rows = pools.index_BC[row, : len(query.candidates)]
        kept[query.id] = {name: values[rows].float().cpu().numpy() for name, values in pools.items.items()}
    return FeatureSample("train", kept)


def sample_of_matrices(data: "RankingData", nonce: str) -> FeatureSample:
    """Return some validation pools of a ranker; its training features are made out of fold, so not these."""
    ids, rows = data.val_ids, chosen_queries(len(data.val_ids), nonce)
    return FeatureSample("val", {ids[row]: {"features": data.val.matrices[row]} for row in rows})
