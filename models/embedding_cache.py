"""Frozen embeddings, kept by content hash: model and preprocessing name the file, content names the row."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def content_key(content: bytes) -> str:
    """Return the name of one piece of content."""
    return hashlib.sha256(content).hexdigest()


class EmbeddingCache:
    """Rows of one encoder, in memory and on disk; without a folder they are forgotten with the process."""

    def __init__(self, folder: Path | None, encoder: str) -> None:
        name = hashlib.sha256(encoder.encode()).hexdigest()[:24]
        self.path = folder / "embeddings" / f"{name}.npz" if folder else None
        self.rows: dict[str, Floats] = {}
        if self.path and self.path.exists():
            self._read(self.path)

    def _read(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as stored:
                rows = dict(zip(stored["keys"].tolist(), stored["vectors"], strict=True))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return  # torn or foreign: it is only a cache, and is written anew
        self.rows = rows

    def missing(self, keys: Sequence[str]) -> list[int]:
        """Return the positions of keys that are not known yet, each key once."""
        first = {key: i for i, key in reversed(list(enumerate(keys)))}
        return sorted(i for key, i in first.items() if key not in self.rows)

    def add(self, keys: Sequence[str], vectors: Floats) -> None:
        """Remember rows, and replace the file by one that has them too."""
        self.rows.update(zip(keys, vectors, strict=True))
        if self.path is None or not keys:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        with aside.open("wb") as file:
            np.savez(file, keys=np.array(list(self.rows)), vectors=np.stack(list(self.rows.values())))
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, self.path)

    def stack(self, keys: Sequence[str]) -> Floats:
        """Return the rows of these keys, shape (keys, width)."""
        return np.stack([self.rows[key] for key in keys])
