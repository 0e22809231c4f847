"""The mission's fusion ranker: three tokens of 512, eight-head attention, head 512-256-1.

Two decisions differ from the mission's sketch. (1) Its encoder widths (768, 384, 512) cannot be
stacked: each encoder's output is projected to one 512-wide token. (2) It never sees the search text,
so it could only learn which items are liked, not which answer a query: here the attention's query is
the visual token plus a projection of the search, and what the attention returns is multiplied by
another projection of the search before the head. Each modality also meets the search in a small
two-tower product of its own, added to the head's score, so that attention may fail without losing it.

Keys, values and the visual query depend on the item alone, so they are computed when an item is
encoded; what is left for a request is attention over three tokens and the head.

Shapes: B queries, C candidates, M = 3 modalities, D = 512, H heads, T = tower width.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from models.dataset import FeatureQuery, Query
from models.encoders import MODALITIES, Encoders
from models.scorers import Request

TOWER = 64
WEIGHTS, SHAPE = "fusion.safetensors", "fusion.json"


@dataclass(frozen=True)
class FusionShape:
    """Everything that fixes the network's shape."""

    image: int
    text: int
    attributes: int
    query: int
    width: int = 512
    heads: int = 8
    hidden: int = 256

    def inputs(self) -> dict[str, int]:
        """Columns per modality."""
        return {"image": self.image, "text": self.text, "attributes": self.attributes}


class FusionNet(nn.Module):
    """Scores candidates of a query from encoded modalities."""

    def __init__(self, shape: FusionShape, lexical: int) -> None:
        super().__init__()
        self.shape, self.lexical = shape, lexical
        width = shape.width
        self.token = nn.ModuleDict({m: nn.Linear(n, width) for m, n in shape.inputs().items()})
        self.norm = nn.LayerNorm(width)
        self.to_query = nn.Linear(width, width)
        self.to_key = nn.Linear(width, width)
        self.to_value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.search_query = nn.Linear(shape.query, width)
        self.search_gate = nn.Linear(shape.query, width)
        self.head = nn.Sequential(nn.Linear(width, shape.hidden), nn.ReLU(), nn.Linear(shape.hidden, 1))
        self.item_tower = nn.ModuleDict({m: nn.Linear(n, TOWER) for m, n in shape.inputs().items()})
        self.search_tower = nn.ModuleDict({m: nn.Linear(shape.query, TOWER) for m in MODALITIES})
        self.lexical_weight = nn.Parameter(torch.tensor([0.5, 0.5]))
        self.dropout = nn.Dropout(0.1)

    def item_side(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what depends on the item alone; every value has shape (..., width or tower)."""
        tokens = {m: self.norm(self.token[m](self.dropout(parts[m]))) for m in MODALITIES}
        side = {"query": self.to_query(tokens["image"])}
        for m in MODALITIES:
            side[f"key_{m}"] = self.to_key(tokens[m])
            side[f"value_{m}"] = self.to_value(tokens[m])
            side[f"tower_{m}"] = self.item_tower[m](self.dropout(parts[m]))
        side["words_text"] = parts["text"][..., : self.lexical]
        side["words_attributes"] = parts["attributes"][..., : self.lexical]
        return side

    def search_side(self, search_BQ: Tensor) -> dict[str, Tensor]:
        """Return what depends on the search alone, shapes (B, width or tower)."""
        side = {"query": self.search_query(search_BQ), "gate": self.search_gate(search_BQ)}
        for m in MODALITIES:
            side[f"tower_{m}"] = self.search_tower[m](search_BQ)
        side["words"] = search_BQ[..., : self.lexical]
        return side

    def combine(self, item: Mapping[str, Tensor], search: Mapping[str, Tensor]) -> Tensor:
        """Return scores_BC from item sides (B, C, .) and search sides (B, .)."""
        heads, each = self.shape.heads, self.shape.width // self.shape.heads
        lead = item["query"].shape[:-1]
        query_BCHd = (item["query"] + search["query"][:, None]).reshape(*lead, heads, each)
        logits_MBCH = torch.stack(
            [(query_BCHd * item[f"key_{m}"].reshape(*lead, heads, each)).sum(-1) for m in MODALITIES]
        )
        weights_MBCH = torch.softmax(logits_MBCH / each**0.5, dim=0)
        attended = torch.zeros_like(item["query"]).reshape(*lead, heads, each)
        for weight_BCH, m in zip(weights_MBCH, MODALITIES, strict=True):
            attended = attended + weight_BCH[..., None] * item[f"value_{m}"].reshape(*lead, heads, each)
        fused_BCD = self.out(attended.flatten(-2)) * (1 + search["gate"][:, None])
        score_BC: Tensor = self.head(self.dropout(fused_BCD)).squeeze(-1)
        for m in MODALITIES:
            score_BC = score_BC + (item[f"tower_{m}"] * search[f"tower_{m}"][:, None]).sum(-1)
        for number, m in enumerate(("text", "attributes")):
            overlap_BC = (item[f"words_{m}"] * search["words"][:, None]).sum(-1)
            score_BC = score_BC + self.lexical_weight[number] * overlap_BC
        return score_BC

    def forward(self, parts: Mapping[str, Tensor], search_BQ: Tensor) -> Tensor:
        """Return scores_BC; parts have shapes (B, C, width of the modality)."""
        return self.combine(self.item_side(parts), self.search_side(search_BQ))


def new_network(encoders: Encoders, width: int, heads: int, hidden: int, seed: int) -> FusionNet:
    """Return a network for these encoders, initialised from the seed alone."""
    columns = encoders.widths
    shape = FusionShape(**columns, width=width, heads=heads, hidden=hidden)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FusionNet(shape, encoders.tfidf.idf.size)


def save_model(folder: Path, network: FusionNet, encoders: Encoders) -> None:
    """Write network and encoders into a checkpoint folder; nothing is pickled."""
    save_file({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}, folder / WEIGHTS)
    (folder / SHAPE).write_text(json.dumps({**asdict(network.shape), "lexical": network.lexical}))
    encoders.save(folder)


def load_network(folder: Path) -> FusionNet:
    """Return the network of a checkpoint folder."""
    record = json.loads((folder / SHAPE).read_text())
    lexical = record.pop("lexical")
    network = FusionNet(FusionShape(**record), lexical)
    network.load_state_dict(load_file(folder / WEIGHTS))
    return network


class FusionScorer:
    """A loaded fusion model that scores from raw inputs."""

    timed_path = "query vector and item features given: attention and head over the pool of 30"

    def __init__(self, network: FusionNet, encoders: Encoders, device: str) -> None:
        self.network, self._encoders, self.device = network.to(device).eval(), encoders, device
        self.encoders = dict(encoders.choice.spoken)
        pictures = bool(encoders.standard.mean.size > 1)
        self.modalities = MODALITIES if pictures else MODALITIES[1:]

    def encode(self, queries: Sequence[Query] | Sequence[FeatureQuery]) -> list[Request]:
        """Return one request per query; item and search sides are computed once each."""
        searches = [query for query in queries if isinstance(query, Query)]
        if not searches:
            return []
        with torch.inference_mode():
            vectors = torch.from_numpy(self._encoders.texts([query.text for query in searches]))
            search = self.network.search_side(vectors.to(self.device))
            packed = torch.cat([search[name] for name in sorted(search)], dim=-1).cpu().numpy()
        return [Request(self._parts(q), packed[row]) for row, q in enumerate(searches)]

    def _parts(self, query: Query) -> dict[str, NDArray[np.float32]]:
        encoded = self._encoders.items(query.candidates)
        with torch.inference_mode():
            side = self.network.item_side(
                {m: torch.from_numpy(v).to(self.device) for m, v in encoded.items()}
            )
        return {name: value.cpu().numpy() for name, value in side.items()}

    def _unpack(self, packed: Tensor) -> dict[str, Tensor]:
        width, lexical = self.network.shape.width, self.network.lexical
        sizes = (
            {"gate": width, "query": width} | {f"tower_{m}": TOWER for m in MODALITIES} | {"words": lexical}
        )
        names = sorted(sizes)
        return dict(zip(names, torch.split(packed, [sizes[name] for name in names], dim=-1), strict=True))

    def score(self, request: Request) -> NDArray[np.float64]:
        """Return the scores of one request, shape (candidates,), synchronised by the copy to the host."""
        with torch.inference_mode():
            item = {n: torch.from_numpy(v).to(self.device)[None] for n, v in request.parts.items()}
            search = self._unpack(torch.from_numpy(request.query).to(self.device)[None])
            return self.network.combine(item, search)[0].cpu().numpy().astype(np.float64)

    def score_many(self, requests: Sequence[Request]) -> list[NDArray[np.float64]]:
        """Return the scores of many requests; equal to `score` up to rounding."""
        return [self.score(request) for request in requests]


def load_scorer(checkpoint: Path, device: str = "cpu") -> FusionScorer:
    """Return the fusion model of a checkpoint, ready to score from raw inputs."""
    return FusionScorer(load_network(checkpoint), Encoders.load(checkpoint, device), device)


def pad(rows: Sequence[NDArray[np.float32]]) -> Tensor:
    """Return pools of different sizes as one (B, C, width) tensor, short ones padded with zeros."""
    longest = max(len(row) for row in rows)
    padded = [functional.pad(torch.from_numpy(row), (0, 0, 0, longest - len(row))) for row in rows]
    return torch.stack(padded)
