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

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.encoders import MODALITIES, Encoders

TOWER = 64
DROPOUT = 0.5


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
    attention: bool = True
    """Whether the mission's attention and head run, or the two-tower products alone (late fusion)."""
    skip: bool = True
    """Whether two-tower products and word overlap are added, or the attention is alone (the mission's design)."""
    modalities: tuple[str, ...] = MODALITIES
    """What is read; the others are as if they were not there."""

    def inputs(self) -> dict[str, int]:
        """Columns per modality that is read."""
        columns = {"image": self.image, "text": self.text, "attributes": self.attributes}
        return {m: columns[m] for m in self.modalities}


class FusionNet(nn.Module):
    """Scores candidates of a query from encoded modalities."""

    def __init__(self, shape: FusionShape, lexical: int) -> None:
        super().__init__()
        self.shape, self.lexical = shape, lexical
        overlap = {"text": shape.query, "attributes": lexical} if shape.skip else {}
        self.overlap = {m: width for m, width in overlap.items() if m in shape.modalities}
        if shape.attention:
            self._add_attention(shape)
        if shape.skip:
            self.item_tower = nn.ModuleDict({m: nn.Linear(n, TOWER) for m, n in shape.inputs().items()})
            self.search_tower = nn.ModuleDict({m: nn.Linear(shape.query, TOWER) for m in shape.modalities})
            self.overlap_weight = nn.Parameter(torch.full((2, 2), 0.5))
        self.dropout = nn.Dropout(DROPOUT)
        self.register_buffer("search_seen", torch.ones(shape.query))
        for m, columns in shape.inputs().items():
            self.register_buffer(f"seen_{m}", torch.ones(columns))
        self.register_load_state_dict_post_hook(lambda network, _keys: network._number_columns())  # type: ignore[no-untyped-call]
        self._number_columns()

    def _number_columns(self) -> None:
        """Number the seen columns: what was never seen costs no arithmetic."""
        for m in self.shape.modalities:
            self.register_buffer(
                f"columns_{m}", self.get_buffer(f"seen_{m}").nonzero()[:, 0], persistent=False
            )

    def _add_attention(self, shape: FusionShape) -> None:
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

    def see(self, search_BQ: Tensor, parts: Mapping[str, Tensor]) -> None:
        """Let projections read only the columns that training fills.

        A word never met in training has random weights and the highest idf: it would drown the rest
        of a search. Word overlap still counts it.
        """
        self.get_buffer("search_seen").copy_((search_BQ != 0).any(dim=0))
        for m in self.shape.modalities:
            self.get_buffer(f"seen_{m}").copy_((parts[m] != 0).flatten(0, -2).any(dim=0))
        self._number_columns()

    @property
    def modalities(self) -> tuple[str, ...]:
        """Return what is read."""
        return self.shape.modalities

    @property
    def attention(self) -> bool:
        """Return whether the mission's attention runs."""
        return self.shape.attention

    def item_widths(self, modality: str) -> list[tuple[str, int]]:
        """Return what the item side of one modality consists of, in order, with widths."""
        if modality not in self.shape.modalities:
            return []
        width, attention = self.shape.width, self.shape.attention
        query = [("query", width)] if attention and modality == "image" else []
        pair = [("key", width), ("value", width)] if attention else []
        tower = [("tower", TOWER)] if self.shape.skip else []
        words = [("words", self.overlap[modality])] if modality in self.overlap else []
        return [*query, *pair, *tower, *words]

    def item_side(self, modality: str, x: Tensor) -> Tensor:
        """Return what depends on one modality of an item alone, (..., sum of `item_widths`)."""
        if modality not in self.shape.modalities:
            return x[..., :0]
        columns = self.get_buffer(f"columns_{modality}")
        dropped, sides = self.dropout(x.index_select(-1, columns)), []

        def projected(layer: nn.Module) -> Tensor:
            weight = layer.get_parameter("weight").index_select(1, columns)
            return functional.linear(dropped, weight, layer.get_parameter("bias"))

        if self.shape.attention:
            token = self.norm(projected(self.token[modality]))
            sides += [self.to_query(token)] if modality == "image" else []
            sides += [self.to_key(token), self.to_value(token)]
        if self.shape.skip:
            sides.append(projected(self.item_tower[modality]))
        if modality in self.overlap:
            sides.append(x[..., : self.overlap[modality]])
        return torch.cat(sides, dim=-1)

    def _item(self, sides: Mapping[str, Tensor]) -> dict[str, Tensor]:
        item = {}
        for m in self.shape.modalities:
            named = self.item_widths(m)
            values = torch.split(sides[m], [width for _, width in named], dim=-1)
            for (name, _), value in zip(named, values, strict=True):
                item["query" if name == "query" else f"{name}_{m}"] = value
        return item

    def search_widths(self) -> dict[str, int]:
        """Return what the search side consists of, with widths."""
        width, words = self.shape.width, self.shape.query
        towers = {f"tower_{m}": TOWER for m in self.shape.modalities} if self.shape.skip else {}
        return ({"query": width, "gate": width} if self.shape.attention else {}) | towers | {"words": words}

    def search_side(self, search_BQ: Tensor) -> dict[str, Tensor]:
        """Return what depends on the search alone, shapes (B, width or tower)."""
        known_BQ = functional.normalize(search_BQ * self.get_buffer("search_seen"), dim=-1)
        side = {"words": search_BQ}
        if self.shape.attention:
            side |= {"query": self.search_query(known_BQ), "gate": self.search_gate(known_BQ)}
        if self.shape.skip:
            side |= {f"tower_{m}": self.search_tower[m](known_BQ) for m in self.shape.modalities}
        return side

    def combine(self, sides: Mapping[str, Tensor], search: Mapping[str, Tensor]) -> Tensor:
        """Return scores_BC from item sides per modality (B, C, .) and search sides (B, .)."""
        item = self._item(sides)
        terms = [self._attended(item, search)] if self.shape.attention else []
        if self.shape.skip:
            terms += [
                (item[f"tower_{m}"] * search[f"tower_{m}"][:, None]).sum(-1) for m in self.shape.modalities
            ]
        for number, m in enumerate(("text", "attributes")):
            if m in self.overlap:
                product_BCQ = item[f"words_{m}"] * search["words"][:, None, : self.overlap[m]]
                terms.append(self.overlap_weight[number, 0] * product_BCQ[..., : self.lexical].sum(-1))
                terms.append(self.overlap_weight[number, 1] * product_BCQ[..., self.lexical :].sum(-1))
        return torch.stack(terms).sum(dim=0)

    def _attended(self, item: Mapping[str, Tensor], search: Mapping[str, Tensor]) -> Tensor:
        names = self.shape.modalities
        heads, each = self.shape.heads, self.shape.width // self.shape.heads
        lead = item[f"key_{names[0]}"].shape[:-1]
        query_BCD = search["query"][:, None].expand(*lead, -1)
        query_BCD = query_BCD + item["query"] if "query" in item else query_BCD
        query_BCHd = query_BCD.reshape(*lead, heads, each)
        logits_MBCH = torch.stack(
            [(query_BCHd * item[f"key_{m}"].reshape(*lead, heads, each)).sum(-1) for m in names]
        )
        weights_MBCH = torch.softmax(logits_MBCH / each**0.5, dim=0)
        attended = torch.zeros_like(query_BCHd)
        for weight_BCH, m in zip(weights_MBCH, names, strict=True):
            attended = attended + weight_BCH[..., None] * item[f"value_{m}"].reshape(*lead, heads, each)
        fused_BCD = self.out(attended.flatten(-2)) * (1 + search["gate"][:, None])
        score_BC: Tensor = self.head(self.dropout(fused_BCD)).squeeze(-1)
        return score_BC

    def forward(self, parts: Mapping[str, Tensor], search_BQ: Tensor) -> Tensor:
        """Return scores_BC; parts have shapes (B, C, width of the modality)."""
        sides = {m: self.item_side(m, parts[m]) for m in self.shape.modalities}
        return self.combine(sides, self.search_side(search_BQ))


def new_network(
    encoders: Encoders, seed: int, *, width: int = 512, heads: int = 8, hidden: int = 256,
    attention: bool = True, skip: bool = True, modalities: tuple[str, ...] = MODALITIES,
) -> FusionNet:  # fmt: skip
    """Return a network for these encoders, initialised from the seed alone; figures as in FusionShape."""
    columns = encoders.widths
    shape = FusionShape(
        columns["image"], columns["text"], columns["attributes"], columns["query"],
        width, heads, hidden, attention, skip, modalities,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FusionNet(shape, encoders.tfidf.idf.size)
