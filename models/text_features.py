"""Hashed TF-IDF: the text encoder that needs no weights."""

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
WORD = re.compile(r"[a-z0-9]+")
WIDTH = 1024


def tokens(text: str) -> list[str]:
    """Return lower-case words, and the inner pieces of four letters that catch other forms of a word."""
    words = WORD.findall(text.lower())
    pieces = [f"#{word[i : i + 4]}" for word in words if len(word) > 4 for i in range(len(word) - 3)]
    return words + pieces


def _slots(text: str, width: int) -> dict[int, float]:
    counts: dict[int, float] = {}
    for token in tokens(text):
        slot = zlib.crc32(token.encode()) % width
        counts[slot] = counts.get(slot, 0.0) + (0.4 if token.startswith("#") else 1.0)
    return counts


class HashedTfidf:
    """TF-IDF over hashed tokens; idf is fitted on training texts only."""

    def __init__(self, idf: Floats) -> None:
        self.idf = idf

    @classmethod
    def fit(cls, texts: Sequence[str], width: int = WIDTH) -> "HashedTfidf":
        """Return the encoder with idf = log((1 + n) / (1 + df)) + 1 of these texts."""
        seen = np.zeros(width, dtype=np.float64)
        for text in texts:
            seen[list(_slots(text, width))] += 1
        return cls((np.log((1 + len(texts)) / (1 + seen)) + 1).astype(np.float32))

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return L2-normalised vectors, shape (texts, width); an empty text is all zeros."""
        vectors = np.zeros((len(texts), self.idf.size), dtype=np.float32)
        for row, text in enumerate(texts):
            for slot, count in _slots(text, self.idf.size).items():
                vectors[row, slot] = count
        vectors *= self.idf
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
