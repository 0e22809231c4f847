"""Splits as tensors on the device: every item once, pools as rows into them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.dataset import Candidate, Query
from models.encoders import MODALITIES, Encoders, raw_content
from models.fusion_sum import Network
from models.metrics import ndcg_per_query

Floats = NDArray[np.float64]
QUERIES_AT_ONCE = 64


@dataclass(frozen=True)
class Pools:
    """Queries of one split as tensors on the device: B queries, C candidates at most, N distinct items."""

    items: dict[str, Tensor]
    """Modality -> encoded items, shape (N, width)."""
    index_BC: Tensor
    """Rows of `items`; 0 where a pool is shorter than C."""
    search_BQ: Tensor
    relevance_BC: Tensor
    """-1 where a pool is shorter than C."""
    queries: Sequence[Query]

    @property
    def parts(self) -> dict[str, Tensor]:
        """Return every pool's encoded candidates, shapes (B, C, width)."""
        return {modality: values[self.index_BC] for modality, values in self.items.items()}

    def on(self, device: str | torch.device) -> "Pools":
        """Return the same tensors on a device; of the queries none, they stay where they were read."""
        return Pools(
            {modality: values.to(device) for modality, values in self.items.items()},
            self.index_BC.to(device), self.search_BQ.to(device), self.relevance_BC.to(device), queries=(),
        )  # fmt: skip

    def batch(self, rows: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return parts, searches and labels of some queries."""
        parts = {modality: values[self.index_BC[rows]] for modality, values in self.items.items()}
        return parts, self.search_BQ[rows], self.relevance_BC[rows]


def item_rows(queries: Sequence[Query]) -> tuple[list[Candidate], NDArray[np.int64]]:
    """Return the distinct items, and each candidate's row among them, shape (B, C), -1 beyond a pool's end."""
    rows: dict[object, int] = {}
    items: list[Candidate] = []
    index = np.full((len(queries), max(len(q.candidates) for q in queries)), -1, dtype=np.int64)
    for row, query in enumerate(queries):
        for column, item in enumerate(query.candidates):
            key = tuple(raw_content(m, item) for m in MODALITIES)
            if key not in rows:
                rows[key] = len(items)
                items.append(item)
            index[row, column] = rows[key]
    return items, index


def make_pools(queries: Sequence[Query], encoders: Encoders, device: str) -> Pools:
    """Return one split, encoded."""
    items, index = item_rows(queries)
    relevance = np.full(index.shape, -1, dtype=np.int64)
    for row, query in enumerate(queries):
        relevance[row, : len(query.candidates)] = query.relevance()
    encoded = encoders.items(items)
    return Pools(
        items={m: torch.from_numpy(values).to(device) for m, values in encoded.items()},
        index_BC=torch.from_numpy(np.maximum(index, 0)).to(device),
        search_BQ=torch.from_numpy(encoders.texts([query.text for query in queries])).to(device),
        relevance_BC=torch.from_numpy(relevance).to(device),
        queries=queries,
    )


def pool_ndcg(network: Network, pools: Pools) -> Floats:
    """Return nDCG@10 per query, shape (B,), NaN where a query admits none."""
    network.eval()
    scores = []
    with torch.inference_mode():
        for start in range(0, len(pools.queries), QUERIES_AT_ONCE):
            rows = torch.arange(start, min(start + QUERIES_AT_ONCE, len(pools.queries)))
            parts, search_BQ, _ = pools.batch(rows.to(pools.index_BC.device))
            scores += list(network(parts, search_BQ).double().cpu().numpy())
    network.train()
    labels = [query.relevance() for query in pools.queries]
    return ndcg_per_query([row[: label.size] for row, label in zip(scores, labels, strict=True)], labels)
