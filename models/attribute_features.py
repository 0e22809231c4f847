"""Structured attributes as numbers: standardised values with flags for what is missing."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.dataset import AttributeValue

Floats = NDArray[np.float32]
Attributes = Mapping[str, AttributeValue]


def attribute_words(attributes: Attributes) -> str:
    """Return string and list attributes as words, in the order of their names."""
    words: list[str] = []
    for name in sorted(attributes):
        value = attributes[name]
        if isinstance(value, str):
            words.append(value)
        elif isinstance(value, tuple):
            words.extend(value)
    return " ".join(words)


class NumberSchema:
    """Mean and spread of every numeric attribute, fitted on training items."""

    def __init__(self, names: Sequence[str], means: Sequence[float], spreads: Sequence[float]) -> None:
        self.names, self.means, self.spreads = list(names), list(means), list(spreads)

    @classmethod
    def fit(cls, items: Sequence[Attributes]) -> "NumberSchema":
        """Return the schema of the numbers in these items."""
        values: dict[str, list[float]] = {}
        for item in items:
            for name, value in item.items():
                if isinstance(value, float | int):
                    values.setdefault(name, []).append(float(value))
        names = sorted(values)
        means = [float(np.mean(values[name])) for name in names]
        spreads = [max(float(np.std(values[name])), 1e-6) for name in names]
        return cls(names, means, spreads)

    @property
    def width(self) -> int:
        """Columns of `encode`: a value and a flag per number."""
        return 2 * len(self.names)

    def encode(self, items: Sequence[Attributes]) -> Floats:
        """Return standardised values (0 where missing) and missing flags, shape (items, width)."""
        table = np.zeros((len(items), self.width), dtype=np.float32)
        for row, item in enumerate(items):
            for column, name in enumerate(self.names):
                value = item.get(name)
                if isinstance(value, float | int):
                    scaled = (float(value) - self.means[column]) / self.spreads[column]
                    table[row, 2 * column] = np.clip(scaled, -4, 4)
                else:
                    table[row, 2 * column + 1] = 1.0
        return table
