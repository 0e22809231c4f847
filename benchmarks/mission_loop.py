"""The mission's training loop as written, repaired only as far as it must be to run; and ours, on the same net.

Repairs: each encoder's output is projected to one width (768, 384 and 512 cannot be stacked), and the
search takes part (the sketch never reads it). What makes it slow is kept: every pair sends both of its
candidates through the frozen encoders, again in every epoch.

Shapes: N items, Q queries, C candidates, 3 positives and C - 7 negatives a query, as in the sketch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, CLIPVisionConfig, CLIPVisionModel

from models.fusion import FusionNet, FusionShape
from models.losses import margin_loss

MARGIN, RATE, POSITIVES, FIRST_NEGATIVE = 0.1, 1e-4, 3, 7
CANDIDATES, WORDS, ATTRIBUTES = 30, 32, 64
PAIRS_AT_ONCE, QUERIES_PER_BATCH, ITEMS_AT_ONCE = 32, 8, 32
PAIRS_PER_BATCH = QUERIES_PER_BATCH * POSITIVES * (CANDIDATES - FIRST_NEGATIVE)
"""So that both loops take equally many optimiser steps."""


@dataclass(frozen=True)
class Raw:
    """Raw inputs of Q queries whose candidates are all distinct: the worst case for a cache."""

    pixels: Tensor
    """(N, 3, 224, 224)"""
    words: Tensor
    """(N, WORDS), token numbers"""
    attributes: Tensor
    """(N, ATTRIBUTES)"""
    search_QW: Tensor
    """(Q, 384), the searches encoded: neither loop has to do that again"""

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len(self.search_QW)


def made_up(queries: int, device: str) -> Raw:
    """Return random inputs of the real sizes: throughput does not depend on what a picture shows."""
    rng, items = torch.Generator().manual_seed(1), queries * CANDIDATES
    return Raw(
        torch.randn(items, 3, 224, 224, generator=rng).to(device),
        torch.randint(999, 30_000, (items, WORDS), generator=rng).to(device),
        torch.randn(items, ATTRIBUTES, generator=rng).to(device),
        nn.functional.normalize(torch.randn(queries, 384, generator=rng), dim=1).to(device),
    )


class Night1(nn.Module):
    """CLIP ViT-B/32 and MiniLM-L6 of their real sizes with random weights, and the mission's fusion ranker."""

    def __init__(self, frozen: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.vision = CLIPVisionModel(CLIPVisionConfig(patch_size=32))
        self.text = BertModel(
            BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536),
            add_pooling_layer=False,
        )
        self.fusion = FusionNet(FusionShape(768, 384, ATTRIBUTES, 384, skip=False), lexical=0)
        self.frozen = frozen
        for encoder in (self.vision, self.text):
            encoder.requires_grad_(not frozen)

    def encode(self, raw: Raw, rows: Tensor) -> dict[str, Tensor]:
        """Return the vectors of these items."""
        with torch.set_grad_enabled(not self.frozen):
            image = self.vision(pixel_values=raw.pixels[rows]).pooler_output
            text = self.text(input_ids=raw.words[rows]).last_hidden_state.mean(dim=1)
        return {"image": image, "text": text, "attributes": raw.attributes[rows]}

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters that learn."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


def pairs_of(queries: int) -> Tensor:
    """Return every (query, better item, worse item), shape (pairs, 3)."""
    return torch.tensor(
        [
            (query, query * CANDIDATES + good, query * CANDIDATES + bad)
            for query in range(queries)
            for good in range(POSITIVES)
            for bad in range(FIRST_NEGATIVE, CANDIDATES)
        ]
    )


def pair_loss(net: Night1, raw: Raw, pairs: Tensor) -> Tensor:
    """Return MarginRankingLoss of a batch of pairs, both candidates encoded anew."""
    search = raw.search_QW[pairs[:, 0]]

    def scores(rows: Tensor) -> Tensor:
        parts = {name: vectors[:, None] for name, vectors in net.encode(raw, rows).items()}
        return net.fusion(parts, search)[:, 0]

    better, worse = scores(pairs[:, 1]), scores(pairs[:, 2])
    return nn.functional.margin_ranking_loss(better, worse, torch.ones_like(better), margin=MARGIN)


def pool_loss(net: Night1, items: dict[str, Tensor], raw: Raw, queries: Tensor) -> Tensor:
    """Return the same loss of whole pools: every candidate is scored once. `items` are (N, width)."""
    rows = queries[:, None] * CANDIDATES + torch.arange(CANDIDATES, device=queries.device)
    grades = torch.full((CANDIDATES,), -1, device=queries.device)
    grades[:POSITIVES], grades[FIRST_NEGATIVE:] = 1, 0
    scores = net.fusion({name: vectors[rows] for name, vectors in items.items()}, raw.search_QW[queries])
    return margin_loss(scores, grades.expand(len(queries), -1), MARGIN)


def mission_epoch(net: Night1, raw: Raw, optimizer: torch.optim.Optimizer) -> Iterator[int]:
    """Train one epoch as the sketch does, forward 32 pairs at a time; yields the pairs of each optimiser step."""
    for pairs in torch.split(pairs_of(raw.queries).to(raw.words.device), PAIRS_PER_BATCH):
        optimizer.zero_grad(set_to_none=True)
        for some in torch.split(pairs, PAIRS_AT_ONCE):
            loss = pair_loss(net, raw, some) * (len(some) / len(pairs))
            loss.backward()
            loss.item()
        optimizer.step()
        yield len(pairs)


def fill_cache(net: Night1, raw: Raw) -> dict[str, Tensor]:
    """Return every item's frozen vectors, each encoded once."""
    with torch.inference_mode():
        blocks = [net.encode(raw, rows) for rows in torch.arange(len(raw.words)).split(ITEMS_AT_ONCE)]
    return {name: torch.cat([block[name] for block in blocks]).clone() for name in blocks[0]}


def pool_epoch(
    net: Night1, raw: Raw, optimizer: torch.optim.Optimizer, items: Callable[[], dict[str, Tensor]]
) -> None:
    """Train one epoch as Nightshift does; `items` gives the vectors, cached or encoded with gradients."""
    for queries in torch.arange(raw.queries, device=raw.words.device).split(QUERIES_PER_BATCH):
        optimizer.zero_grad(set_to_none=True)
        pool_loss(net, items(), raw, queries).backward()
        optimizer.step()
