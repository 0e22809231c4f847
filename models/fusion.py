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
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from models.dataset import Candidate, FeatureQuery, Query
from models.encoders import MODALITIES, Encoders, raw_content
from models.scorers import Request

TOWER = 64
DROPOUT = 0.3
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
        self.overlap = {"text": shape.query, "attributes": lexical}
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
        self.overlap_weight = nn.Parameter(torch.full((2, 2), 0.5))
        self.dropout = nn.Dropout(DROPOUT)
        self.register_buffer("search_seen", torch.ones(shape.query))
        for m, columns in shape.inputs().items():
            self.register_buffer(f"seen_{m}", torch.ones(columns))

    def see(self, search_BQ: Tensor, parts: Mapping[str, Tensor]) -> None:
        """Let projections read only the columns that training fills.

        A word never met in training has random weights and the highest idf: it would drown the rest
        of a search. Word overlap still counts it.
        """
        self.get_buffer("search_seen").copy_((search_BQ != 0).any(dim=0))
        for m, part_BCQ in parts.items():
            self.get_buffer(f"seen_{m}").copy_((part_BCQ != 0).flatten(0, -2).any(dim=0))

    def item_widths(self, modality: str) -> list[tuple[str, int]]:
        """Return what the item side of one modality consists of, in order, with widths."""
        width = self.shape.width
        query = [("query", width)] if modality == "image" else []
        words = [("words", self.overlap[modality])] if modality != "image" else []
        return [*query, ("key", width), ("value", width), ("tower", TOWER), *words]

    def item_side(self, modality: str, x: Tensor) -> Tensor:
        """Return what depends on one modality of an item alone, (..., sum of `item_widths`)."""
        dropped = self.dropout(x * self.get_buffer(f"seen_{modality}"))
        token = self.norm(self.token[modality](dropped))
        query = [self.to_query(token)] if modality == "image" else []
        words = [x[..., : self.overlap[modality]]] if modality != "image" else []
        tower = self.item_tower[modality](dropped)
        return torch.cat([*query, self.to_key(token), self.to_value(token), tower, *words], dim=-1)

    def _item(self, sides: Mapping[str, Tensor]) -> dict[str, Tensor]:
        item = {}
        for m in MODALITIES:
            named = self.item_widths(m)
            values = torch.split(sides[m], [width for _, width in named], dim=-1)
            for (name, _), value in zip(named, values, strict=True):
                item["query" if name == "query" else f"{name}_{m}"] = value
        return item

    def search_side(self, search_BQ: Tensor) -> dict[str, Tensor]:
        """Return what depends on the search alone, shapes (B, width or tower)."""
        known_BQ = functional.normalize(search_BQ * self.get_buffer("search_seen"), dim=-1)
        side = {"query": self.search_query(known_BQ), "gate": self.search_gate(known_BQ)}
        for m in MODALITIES:
            side[f"tower_{m}"] = self.search_tower[m](known_BQ)
        side["words"] = search_BQ
        return side

    def combine(self, sides: Mapping[str, Tensor], search: Mapping[str, Tensor]) -> Tensor:
        """Return scores_BC from item sides per modality (B, C, .) and search sides (B, .)."""
        item = self._item(sides)
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
            product_BCQ = item[f"words_{m}"] * search["words"][:, None, : self.overlap[m]]
            score_BC = score_BC + self.overlap_weight[number, 0] * product_BCQ[..., : self.lexical].sum(-1)
            score_BC = score_BC + self.overlap_weight[number, 1] * product_BCQ[..., self.lexical :].sum(-1)
        return score_BC

    def forward(self, parts: Mapping[str, Tensor], search_BQ: Tensor) -> Tensor:
        """Return scores_BC; parts have shapes (B, C, width of the modality)."""
        sides = {m: self.item_side(m, parts[m]) for m in MODALITIES}
        return self.combine(sides, self.search_side(search_BQ))


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
        self._sides: dict[str, dict[Hashable, NDArray[np.float32]]] = {m: {} for m in MODALITIES}

    def encode(self, queries: Sequence[Query] | Sequence[FeatureQuery]) -> list[Request]:
        """Return one request per query; item and search sides are computed once each."""
        searches = [query for query in queries if isinstance(query, Query)]
        if not searches:
            return []
        with torch.inference_mode():
            vectors = torch.from_numpy(self._encoders.texts([query.text for query in searches]))
            search = self.network.search_side(vectors.to(self.device))
            packed = torch.cat([search[name] for name in sorted(search)], dim=-1).cpu().numpy()
        everyone = [candidate for query in searches for candidate in query.candidates]
        rows = {m: self._rows(m, everyone) for m in MODALITIES}
        ends = np.cumsum([len(query.candidates) for query in searches])
        requests = []
        for number, end in enumerate(ends):
            pool = slice(int(end) - len(searches[number].candidates), int(end))
            parts = {m: np.stack(rows[m][pool]) for m in MODALITIES}
            requests.append(Request(parts, packed[number]))
        return requests

    def _rows(self, modality: str, items: Sequence[Candidate]) -> list[NDArray[np.float32]]:
        """Return the item side of one modality per item; equal raw content is computed once."""
        known = self._sides[modality]
        keys = [raw_content(modality, item) for item in items]
        new = {key: item for key, item in zip(keys, items, strict=True) if key not in known}
        if new:
            encoded = self._encoders.modality(modality, list(new.values()))
            with torch.inference_mode():
                sides = self.network.item_side(modality, torch.from_numpy(encoded).to(self.device))
            known.update(zip(new, sides.cpu().numpy(), strict=True))
        return [known[key] for key in keys]

    def _unpack(self, packed: Tensor) -> dict[str, Tensor]:
        width, words = self.network.shape.width, self.network.shape.query
        sizes = {"gate": width, "query": width} | {f"tower_{m}": TOWER for m in MODALITIES} | {"words": words}
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
