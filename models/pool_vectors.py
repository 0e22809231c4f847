"""The vectors of a candidate pool, block by block, and exact search over some or all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import faiss
import numpy as np
from numpy.typing import NDArray

from nightshift.trainer import beat

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
Nearest = tuple[Floats, Ids]
"""Inner products and positions, shapes (queries, k)."""
JITTER = 0.15
"""Length of the noise added to a copied unit vector, before it is made a unit vector again."""
CHUNK = 100_000


@dataclass(frozen=True)
class Pool:
    """Unit vectors, the real ones first, then jittered copies; in memory, or made anew whenever they are read."""

    real: Floats
    size: int
    seed: int
    held: Floats | None = None

    @property
    def width(self) -> int:
        """Columns of a vector."""
        return int(self.real.shape[1])

    @property
    def jittered_share(self) -> float:
        """Share of the pool that are copies with noise added."""
        return max(0.0, (self.size - len(self.real)) / self.size)

    def blocks(self) -> list[tuple[int, int]]:
        """Return where each block of vectors begins and ends; one can be made without those before it."""
        real = min(self.size, len(self.real))
        edges = [*range(0, real, CHUNK), *range(real, self.size, CHUNK), self.size]
        return list(pairwise(edges))

    def block(self, start: int, stop: int) -> Floats:
        """Return the vectors of one block, the same every time."""
        if self.held is not None:
            return self.held[start:stop]
        if start < len(self.real):
            return self.real[start:stop]
        rng = np.random.default_rng([self.seed, self.size, start])
        noise = rng.standard_normal((stop - start, self.width), dtype=np.float32)
        copies = self.real[rng.integers(len(self.real), size=len(noise))]
        copies = copies + noise * np.float32(JITTER / self.width**0.5)
        made: Floats = copies / np.maximum(np.linalg.norm(copies, axis=1, keepdims=True), 1e-12)
        return made

    def chunks(self) -> Iterator[Floats]:
        """Yield the vectors in order, as many at once as there are."""
        if self.held is not None:
            yield self.held
            return
        for start, stop in self.blocks():
            yield self.block(start, stop)

    def in_memory(self) -> "Pool":
        """Return the same pool with its vectors held."""
        if self.held is not None:
            return self
        held = np.empty((self.size, self.width), dtype=np.float32)
        start = 0
        for chunk in self.chunks():
            held[start : start + len(chunk)] = chunk
            start += len(chunk)
        return replace(self, held=held)

    def every(self, step: int) -> Floats:
        """Return every `step`-th vector."""
        picked, offset = [], 0
        for chunk in self.chunks():
            picked.append(chunk[(-offset) % step :: step])
            offset += len(chunk)
        return np.ascontiguousarray(np.concatenate(picked))

    def exact(self, queries: Floats, k: int) -> Ids:
        """Return the positions of the k nearest vectors per query by exact search, shape (queries, k)."""
        return self.nearest(queries, k, self.blocks())[1]

    def nearest(self, queries: Floats, k: int, blocks: Sequence[tuple[int, int]]) -> Nearest:
        """Return products and positions of the k nearest vectors of some blocks, nearest first."""
        best: Nearest = (
            np.empty((len(queries), 0), dtype=np.float32), np.empty((len(queries), 0), dtype=np.int64),
        )  # fmt: skip
        for start, stop in blocks:
            beat()
            part = self.block(start, stop)
            scores, ids = faiss.knn(queries, part, min(k, len(part)), faiss.METRIC_INNER_PRODUCT)
            best = merged([best, (scores, ids + start)], k)
        return best


def merged(parts: Sequence[Nearest], k: int) -> Nearest:
    """Return the k nearest of several searches over different blocks, in whatever order they come."""
    scores, ids = np.hstack([part[0] for part in parts]), np.hstack([part[1] for part in parts])
    kept = np.lexsort((ids, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, kept, axis=1), np.take_along_axis(ids, kept, axis=1)
