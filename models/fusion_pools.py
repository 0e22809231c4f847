"""Splits as tensors on the device, and their validation score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.dataset import Query
from models.encoders import Encoders
from models.fusion import FusionNet, pad
from models.metrics import mean_ndcg


@dataclass(frozen=True)
class Pools:
    """Queries of one split as tensors on the device: B queries, C candidates at most."""

    parts: dict[str, Tensor]
    search_BQ: Tensor
    relevance_BC: Tensor
    """-1 where a pool is shorter than C."""
    queries: Sequence[Query]

    def batch(self, rows: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return parts, searches and labels of some queries."""
        parts = {modality: values[rows] for modality, values in self.parts.items()}
        return parts, self.search_BQ[rows], self.relevance_BC[rows]


def make_pools(queries: Sequence[Query], encoders: Encoders, device: str) -> Pools:
    """Return one split, encoded."""
    encoded = [encoders.items(query.candidates) for query in queries]
    labels = [query.relevance() for query in queries]
    longest = max(label.size for label in labels)
    relevance = np.full((len(labels), longest), -1, dtype=np.int64)
    for row, label in enumerate(labels):
        relevance[row, : label.size] = label
    return Pools(
        parts={m: pad([item[m] for item in encoded]).to(device) for m in encoded[0]},
        search_BQ=torch.from_numpy(encoders.texts([query.text for query in queries])).to(device),
        relevance_BC=torch.from_numpy(relevance).to(device),
        queries=queries,
    )


def validate(network: FusionNet, pools: Pools) -> float:
    """Return the mean nDCG@10 of a split."""
    network.eval()
    with torch.inference_mode():
        scores_BC = network(pools.parts, pools.search_BQ).double().cpu().numpy()
    network.train()
    labels = [query.relevance() for query in pools.queries]
    return mean_ndcg([row[: label.size] for row, label in zip(scores_BC, labels, strict=True)], labels)
