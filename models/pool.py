"""Candidate pools: exact search as truth, IVF with 8-bit vectors and HNSW beside it (FAISS)."""

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from models.candidates import CandidateEncoder, load_candidates
from nightshift.instant import boottime_s

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
K = 100
JITTER = 0.15
"""Length of the noise added to a copied unit vector, before it is made a unit vector again."""
PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
EF = (100, 128, 192, 256, 384, 512)
HNSW_LINKS = 32
TRAINING_VECTORS = 40
"""Per IVF list; FAISS asks for 39."""
VECTORS, INDEX, SETTINGS = "vectors.npy", "index.faiss", "pool.json"
BACKEND = f"faiss-cpu {version('faiss-cpu')}"


def grow(real: Floats, size: int, seed: int) -> tuple[Floats, float]:
    """Return `size` unit vectors, the real ones first, then jittered copies, and the share of copies."""
    if size <= len(real):
        return real[:size], 0.0
    rng = np.random.default_rng([seed, size])
    pool = np.empty((size, real.shape[1]), dtype=np.float32)
    pool[: len(real)] = real
    for start in range(len(real), size, 100_000):
        end = min(size, start + 100_000)
        copies = real[rng.integers(len(real), size=end - start)]
        noise = rng.standard_normal(copies.shape, dtype=np.float32) * (JITTER / np.sqrt(real.shape[1]))
        copies = copies + noise
        pool[start:end] = copies / np.maximum(np.linalg.norm(copies, axis=1, keepdims=True), 1e-12)
    return pool, (size - len(real)) / size


def build(name: str, vectors: Floats) -> faiss.Index:
    """Return a new index of this kind over unit vectors, by inner product."""
    width = vectors.shape[1]
    index: faiss.Index
    if name == "Flat":
        index = faiss.IndexFlatIP(width)
    elif name == "HNSW":
        index = faiss.IndexHNSWFlat(width, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    else:
        lists = int(np.clip(4 * np.sqrt(len(vectors)), 1, len(vectors) // TRAINING_VECTORS))
        index = faiss.index_factory(width, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
        step = max(1, len(vectors) // (lists * TRAINING_VECTORS))
        index.train(np.ascontiguousarray(vectors[::step]))
    index.add(vectors)
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


def tune(name: str, index: faiss.Index, queries: Floats, exact: Ids, target: float) -> tuple[float, int, str]:
    """Return recall, effort and its words at the least effort that reaches the target, else at the most."""
    ladder = {"IVF,SQ8": PROBES, "HNSW": EF}.get(name, (0,))
    reached, words, effort = 0.0, "exact", ladder[-1]
    for step in ladder:
        words, effort = set_effort(name, index, step), step
        reached = recall(index.search(queries, exact.shape[1])[1], exact)
        if reached >= target:
            break
    return reached, effort, words


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
        self.timed_path = f"query text: static encoder, then {name}"

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
