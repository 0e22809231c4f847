"""A trained fusion model that scores pools from raw inputs."""

from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.dataset import Candidate, FeatureQuery, Query
from models.encoders import ARRAYS, MODALITIES, SETTINGS, Encoders, raw_content
from models.fusion_sum import Network, load_network
from models.image_network import FILE as IMAGE_NETWORK
from models.scorers import Request
from nightshift.checkpoint import sha256_of

ENCODER_FILES = (SETTINGS, ARRAYS, IMAGE_NETWORK)


class FusionScorer:
    """A loaded fusion model that scores from raw inputs."""

    def __init__(self, network: Network, encoders: Encoders, device: str) -> None:
        self.network, self._encoders, self.device = network.to(device).eval(), encoders, device
        self.encoders = dict(encoders.choice.spoken)
        what = "attention, head and two-tower products" if network.attention else "two-tower products"
        self.timed_path = f"query vector and item features given: {what} over the pool of 30"
        pictures = bool(encoders.standard.mean.size > 1)
        self.modalities = MODALITIES if pictures else MODALITIES[1:]
        self._sides: dict[str, dict[Hashable, NDArray[np.float32]]] = {m: {} for m in MODALITIES}

    def encode(self, queries: Sequence[Query] | Sequence[FeatureQuery]) -> list[Request]:
        """Return one request per query; item and search sides are computed once each."""
        searches = [query for query in queries if isinstance(query, Query)]
        if not searches:
            return []
        packed = self.search_vectors([query.text for query in searches])
        everyone = [candidate for query in searches for candidate in query.candidates]
        rows = {m: self.item_rows(m, everyone) for m in MODALITIES}
        ends = np.cumsum([len(query.candidates) for query in searches])
        requests = []
        for number, end in enumerate(ends):
            pool = slice(int(end) - len(searches[number].candidates), int(end))
            parts = {m: np.stack(rows[m][pool]) for m in MODALITIES}
            requests.append(Request(parts, packed[number]))
        return requests

    def trained_on(self, query: Query | FeatureQuery) -> dict[str, NDArray[np.float32]]:
        """Return what training read of this pool, encoded anew from raw inputs: modality -> (candidates, width)."""
        return self._encoders.items(query.candidates) if isinstance(query, Query) else {}

    def search_vectors(self, texts: Sequence[str], remember: bool = True) -> NDArray[np.float32]:
        """Return everything that depends on a search alone, shape (texts, width); serving remembers none."""
        with torch.inference_mode():
            vectors = torch.from_numpy(self._encoders.texts(texts, remember))
            search = self.network.search_side(vectors.to(self.device))
            packed = torch.cat([search[name] for name in sorted(search)], dim=-1)
            return np.asarray(packed.cpu().numpy())

    def item_rows(self, modality: str, items: Sequence[Candidate]) -> list[NDArray[np.float32]]:
        """Return the item side of one modality per item; equal raw content is computed once."""
        known = self._sides[modality]
        keys = [raw_content(modality, item) for item in items]
        new = {key: item for key, item in zip(keys, items, strict=True) if key not in known}
        if new:
            known.update(zip(new, self._side(modality, list(new.values())), strict=True))
        return [known[key] for key in keys]

    def _side(self, modality: str, items: Sequence[Candidate]) -> NDArray[np.float32]:
        if modality not in self.network.modalities:
            return np.zeros((len(items), 0), dtype=np.float32)
        encoded = torch.from_numpy(self._encoders.modality(modality, items))
        with torch.inference_mode():
            return np.asarray(self.network.item_side(modality, encoded.to(self.device)).cpu().numpy())

    def _unpack(self, packed: Tensor) -> dict[str, Tensor]:
        sizes = self.network.search_widths()
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
    return FusionScorer(load_network(checkpoint), _encoders_of(checkpoint, device), device)


_known: dict[tuple[str, str], Encoders] = {}


def _encoders_of(checkpoint: Path, device: str) -> Encoders:
    """Return the checkpoint's encoders; seeds of one night share theirs, and what they have encoded."""
    files = sorted(p for p in checkpoint.iterdir() if p.name in ENCODER_FILES)
    key = "".join(sha256_of(path) for path in files), device
    if key not in _known:
        _known.clear()  # one night's at a time
        _known[key] = Encoders.load(checkpoint, device)
    return _known[key]
