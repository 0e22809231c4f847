"""Candidate pools: exact search as truth, IVF with 8-bit vectors and HNSW beside it (FAISS)."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import faiss
import numpy as np

from models.candidates import CandidateEncoder, load_candidates
from models.pool_vectors import Floats, Ids, Pool
from nightshift.instant import boottime_s

K = 100
PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
EF = (100, 128, 192, 256, 384, 512, 768, 1024)
HNSW_LINKS = 32
MOST_LISTS = 4096
FLAT_PROBES = 20
BEYOND = 2
"""Points measured beyond the recall target, for the curve."""
TRAINING_VECTORS = 40
"""Per IVF list; FAISS asks for 39."""
VECTORS, INDEX, SETTINGS = "vectors.npy", "index.faiss", "pool.json"
BACKEND = f"faiss-cpu {version('faiss-cpu')}"


def build(name: str, pool: Pool, stop: Callable[[], bool] = lambda: False) -> faiss.Index | None:
    """Return a new index of this kind over a pool, by inner product, or None where `stop` ended it on the way.

    A pool that is held in memory is added at once, without asking.
    """
    width, size = pool.width, pool.size
    index: faiss.Index
    if name == "Flat":
        index = faiss.IndexFlatIP(width)
    elif name == "HNSW":
        index = faiss.IndexHNSWFlat(width, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    else:
        lists = int(np.clip(4 * np.sqrt(size), 1, min(MOST_LISTS, max(1, size // TRAINING_VECTORS))))
        index = faiss.index_factory(width, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
        index.train(pool.every(max(1, size // (lists * TRAINING_VECTORS))))
    for chunk in pool.chunks():
        if stop():
            return None
        # As much as possible at once: FAISS orders an addition by level, and HNSW gains by it.
        index.add(chunk)
    return index


def set_effort(name: str, index: faiss.Index, effort: int) -> str:
    """Return the parameter in words, set on the index: lists to probe, or length of HNSW's queue."""
    if name == "IVF,SQ8":
        faiss.extract_index_ivf(index).nprobe = effort
        return f"nprobe={effort}"
    if name == "HNSW":
        faiss.downcast_index(index).hnsw.efSearch = effort  # type: ignore[attr-defined]
        return f"efSearch={effort}"
    return "exact"


def recall(found: Ids, exact: Ids) -> float:
    """Return the mean share of each row of `exact` that stands in the same row of `found`."""
    return float(np.mean([len(np.intersect1d(f, e)) / len(e) for f, e in zip(found, exact, strict=True)]))


@dataclass(frozen=True)
class Effort:
    """One point of an index's trade of recall against latency."""

    effort: int
    words: str
    recall_at_100: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


def efforts(
    name: str, index: faiss.Index, queries: Floats, exact: Ids, target: float,
    stop: Callable[[], bool] = lambda: False,
) -> list[Effort]:  # fmt: skip
    """Return the points of rising effort, until two beyond the first that reaches the recall target.

    `stop` is asked between points; one point is always measured.
    """
    points: list[Effort] = []
    for step in {"IVF,SQ8": PROBES, "HNSW": EF}.get(name, (0,)):
        words = set_effort(name, index, step)
        few = queries[:FLAT_PROBES] if name == "Flat" else queries  # exact search again: a check of the truth
        reached = recall(index.search(few, exact.shape[1])[1], exact[: len(few)])
        taken = latencies_ms(lambda query: index.search(query, K), queries)
        p50, p95, p99 = (float(np.percentile(taken, q)) for q in (50, 95, 99))
        points.append(Effort(step, words, reached, p50, p95, p99))
        if stop() or sum(point.recall_at_100 >= target for point in points) > BEYOND:
            break
    return points


def least_effort(points: Sequence[Effort], target: float) -> Effort:
    """Return the first point that reaches the target, else the one of most effort."""
    return next((point for point in points if point.recall_at_100 >= target), points[-1])


def latencies_ms(search: Callable[[Floats], object], queries: Floats) -> Floats:
    """Return the milliseconds of each query, searched one at a time on one thread."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    taken = np.empty(len(queries), dtype=np.float32)
    try:
        for query in queries[:20]:
            search(query[None])
        for row, query in enumerate(queries):
            begin = boottime_s()
            search(query[None])
            taken[row] = (boottime_s() - begin) * 1000
    finally:
        faiss.omp_set_num_threads(threads)
    return taken


class PoolIndex:
    """An index with the encoder that its vectors come from."""

    def __init__(self, encoder: CandidateEncoder, index: faiss.Index, vectors: Floats, name: str) -> None:
        self.encoder, self.index, self.vectors, self.name = encoder, index, vectors, name
        self.size = int(index.ntotal)
        self.timed_path = f"query text: {encoder.encoder}, then {name}"

    def search(self, texts: Sequence[str], k: int) -> Ids:
        """Return the positions of the k nearest items per search text, shape (texts, k)."""
        return self.search_vectors(self.encoder.encode_queries(texts), k)

    def search_vectors(self, vectors: Floats, k: int) -> Ids:
        """Return the positions of the k nearest items per vector."""
        return np.asarray(self.index.search(vectors, k)[1], dtype=np.int64)

    def exact(self, vectors: Floats, k: int) -> Ids:
        """Return what exact search over the stored vectors finds."""
        scores = vectors @ self.vectors.T
        return np.asarray(np.argpartition(-scores, min(k, self.size - 1), axis=1)[:, :k], dtype=np.int64)

    def save(self, folder: Path, effort: int) -> None:
        """Write index, vectors and encoder; nothing is pickled."""
        self.encoder.save(folder)
        faiss.write_index(self.index, str(folder / INDEX))
        np.save(folder / VECTORS, self.vectors, allow_pickle=False)
        (folder / SETTINGS).write_text(json.dumps({"name": self.name, "effort": effort}))


def load_pool(checkpoint: Path) -> PoolIndex:
    """Return the index of a checkpoint of kind pool, its effort set as it was tuned."""
    settings = json.loads((checkpoint / SETTINGS).read_text())
    index = faiss.read_index(str(checkpoint / INDEX))
    set_effort(settings["name"], index, int(settings["effort"]))
    vectors = np.load(checkpoint / VECTORS, allow_pickle=False)
    return PoolIndex(load_candidates(checkpoint), index, vectors, settings["name"])
