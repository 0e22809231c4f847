"""The path to take away: a search in, the best items out; loaded from a hand-over's `serving/` folder.

    from models.serving import Scorer

    scorer = Scorer.load("handover/serving")
    for hit in scorer.search("smoky red drink", k=10):
        print(hit.score, hit.id, hit.text)

Candidates come from night 3's encoder and index, their scores from night 1's fusion ranker. Night 2's
ranker reads V1.0's score as a feature, so it orders the top only where the caller gives V1.0's scores
(`v1`); a bundle holds no pictures, so what it knows of them comes through fusion's score alone.
Everything that depends on an item alone was computed when the bundle was built; a request costs one
encoding of the search, one index search, a gather, and fusion over DEPTH candidates.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from models.candidates import CandidateEncoder, load_candidates
from models.dataset import Candidate, Query
from models.encoders import MODALITIES
from models.ensemble import TREES, Ensemble, load_ensemble
from models.fusion_scorer import FusionScorer
from models.fusion_scorer import load_scorer as load_fusion
from models.ranker import Ranker, load_ranker
from models.scorers import Request
from nightshift.checkpoint import read_state, write_atomically
from nightshift.states import NightError

Floats = NDArray[np.float32]
V1 = Callable[[str, Sequence[str]], Sequence[float]]
"""(search text, item ids) -> V1.0's scores, higher is better."""
DEPTH = 30
"""Candidates that are scored by fusion; the rest keep the index's order behind them."""
FUSION, RANKER, ITEMS, INDEX, SIDES, FILE = (
    "fusion", "ranker", "items.jsonl", "index.faiss", "sides.npz", "serving.json",
)  # fmt: skip
HNSW_FROM = 50_000
"""Below so many items exact search stays under 2 ms."""
HNSW_LINKS, HNSW_BUILD_EFFORT, HNSW_EFFORT = 32, 200, 256


@dataclass(frozen=True)
class Hit:
    """One item found."""

    id: str
    text: str
    score: float


@dataclass(frozen=True)
class EncodedSearch:
    """A search, encoded: what a caller may keep and send again."""

    candidates: Floats
    """The candidate generator's vector, shape (width,)."""
    fusion: Floats | None
    """Fusion's search side, shape (width,), or None where there is no fusion ranker."""


class Scorer:
    """Search over the items of a bundle."""

    def __init__(
        self, generator: CandidateEncoder, index: faiss.Index, items: Sequence[Candidate],
        fusion: FusionScorer | None, sides: dict[str, Floats], ranker: Ensemble | None = None,
    ) -> None:  # fmt: skip
        self.generator, self.index, self.items = generator, index, list(items)
        self.fusion, self.sides, self.ranker = fusion, sides, ranker

    @classmethod
    def build(
        cls, generator: CandidateEncoder, items: Sequence[Candidate], fusion: FusionScorer | None,
        ranker: Ensemble | None = None,
    ) -> "Scorer":  # fmt: skip
        """Return a scorer over these items; their vectors and fusion sides are computed here, once."""
        vectors = generator.encode_items(items)
        width = vectors.shape[1]
        index: faiss.Index = faiss.IndexFlatIP(width)
        if len(items) >= HNSW_FROM:
            index = faiss.IndexHNSWFlat(width, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction, index.hnsw.efSearch = HNSW_BUILD_EFFORT, HNSW_EFFORT
        index.add(vectors)
        return cls(generator, index, items, fusion, _sides_of(fusion, items), ranker)

    @classmethod
    def load(cls, folder: str | Path) -> "Scorer":
        """Return the scorer of a bundle.

        Raises NightError where the folder is none, or not whole.
        """
        place = Path(folder)
        try:
            described = json.loads((place / FILE).read_text())
            items = [_item(line) for line in (place / ITEMS).read_text().split("\n") if line]
            index = faiss.read_index(str(place / INDEX))
            with np.load(place / SIDES, allow_pickle=False) as stored:
                sides = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise NightError(
                f"{place}: not a whole serving bundle ({error}); take it again from the hand-over"
            ) from error
        fusion = load_fusion(place / FUSION) if described["fusion"] else None
        ranker = load_any_ranker(place / RANKER) if described["ranker"] else None
        return cls(load_candidates(place), index, items, fusion, sides, ranker)

    def save(self, folder: Path, fusion: Path | None, ranker: Path | None, facts: dict[str, object]) -> None:
        """Write the bundle; `fusion` and `ranker` are the checkpoints that it was built from."""
        folder.mkdir(parents=True, exist_ok=True)
        self.generator.save(folder)
        faiss.write_index(self.index, str(folder / INDEX))
        np.savez(folder / SIDES, **self.sides)  # type: ignore[arg-type]
        kept = [{"id": item.id, "text": item.text, "attributes": item.attributes} for item in self.items]
        lines = [json.dumps(record, ensure_ascii=False) for record in kept]
        (folder / ITEMS).write_text("\n".join(lines) + "\n")
        for name, source in ((FUSION, fusion), (RANKER, ranker)):
            if source is not None:
                ignored = shutil.ignore_patterns("optimizer.safetensors")
                shutil.copytree(source, folder / name, dirs_exist_ok=True, ignore=ignored)
        document = {"fusion": fusion is not None, "ranker": ranker is not None, **facts}
        write_atomically(folder / FILE, json.dumps(document, indent=1))

    @property
    def timed_path(self) -> str:
        """What one timed request covers, in words."""
        scored = f", item features gathered, fusion of {DEPTH}" if self.fusion else ""
        return f"query vectors given: index over {len(self.items):,} items{scored}"

    @property
    def text_path(self) -> str:
        """What a request from the bare text covers, in words."""
        encoder = self.fusion.encoders["text"] if self.fusion else "none"
        return f"query text: {self.generator.encoder}; fusion's text encoder: {encoder}; then as above"

    def encode(self, text: str) -> EncodedSearch:
        """Return the search, encoded for the index and for fusion."""
        vector = self.generator.encode_queries([text])[0]
        return EncodedSearch(
            vector, self.fusion.search_vectors([text], remember=False)[0] if self.fusion else None
        )

    def search(self, text: str, k: int = 10, v1: V1 | None = None) -> list[Hit]:
        """Return the k best items for a search text, best first; with `v1` night 2's ranker orders the top."""
        rows, scores = self.search_encoded(self.encode(text), max(k, DEPTH))
        if self.ranker is not None and v1 is not None:
            rows, scores = self._ranked(self.ranker, text, rows, scores, v1)
        found = zip(rows[:k], scores[:k], strict=True)
        return [Hit(self.items[row].id, self.items[row].text, float(score)) for row, score in found]

    def search_encoded(self, search: EncodedSearch, k: int = 10) -> tuple[list[int], NDArray[np.float64]]:
        """Return rows of `items` and their scores, best first: what the 2 ms cover."""
        near, found = self.index.search(search.candidates[None], min(max(k, DEPTH), len(self.items)))
        rows = found[0][found[0] >= 0]
        if self.fusion is None or search.fusion is None:
            return rows[:k].tolist(), near[0][: len(rows)][:k].astype(np.float64)
        top = rows[:DEPTH]
        scores = self.fusion.score(
            Request({name: side[top] for name, side in self.sides.items()}, search.fusion)
        )
        order = np.argsort(-scores, kind="stable")
        behind = scores.min() - 1 - np.arange(len(rows) - len(top))
        every = np.concatenate([top[order], rows[DEPTH:]])
        return every[:k].tolist(), np.concatenate([scores[order], behind])[:k]

    def _ranked(
        self, ranker: Ensemble, text: str, rows: Sequence[int], scores: NDArray[np.float64], v1: V1
    ) -> tuple[list[int], NDArray[np.float64]]:
        """Return the first DEPTH rows in the order of night 2's ranker, the rest behind them."""
        top = list(rows[:DEPTH])
        old = v1(text, [self.items[row].id for row in top])
        pool = tuple(replace(self.items[row], score_v1=float(s)) for row, s in zip(top, old, strict=True))
        given = _with_scores(ranker, scores[: len(top)])
        again = given.score(given.encode([Query("", text, pool)])[0])
        order = np.argsort(-again, kind="stable")
        behind = again.min() - 1 - np.arange(len(rows) - len(top))
        return [top[i] for i in order] + list(rows[DEPTH:]), np.concatenate([again[order], behind])


def _with_scores(ranker: Ensemble, scores: NDArray[np.float64]) -> Ensemble:
    """Return the ranker with fusion's scores of this pool given, instead of computed from pictures again."""
    space = ranker.trees.space
    if space is None or space.fusion is None:
        return ranker
    known = replace(space, fusion=lambda _queries: [scores])
    return replace(ranker, trees=replace(ranker.trees, space=known))


def _item(line: str) -> Candidate:
    record = json.loads(line)
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in record["attributes"].items()}
    return Candidate(record["id"], record["text"], 0, 0.0, None, values)


def _sides_of(fusion: FusionScorer | None, items: Sequence[Candidate]) -> dict[str, Floats]:
    if fusion is None:
        return {}
    return {name: np.stack(fusion.item_rows(name, items)) for name in MODALITIES}


def as_ensemble(ranker: Ranker | Ensemble) -> Ensemble:
    """Return a ranker as an ensemble of one kind, so that both are served alike."""
    return ranker if isinstance(ranker, Ensemble) else Ensemble(ranker, (), (TREES,))


def load_any_ranker(checkpoint: Path) -> Ensemble:
    """Return night 2's ranker, whatever kind it is."""
    if read_state(checkpoint).get("kind") == "ensemble":
        return load_ensemble(checkpoint)[0]
    return as_ensemble(load_ranker(checkpoint)[0])
