"""Words of queries and items, and their TF-IDF weights: plain dictionaries, stored as JSON."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from models.dataset import AttributeValue, Candidate

WORD = re.compile(r"\w+")


@lru_cache(maxsize=1 << 16)
def words_of(text: str) -> tuple[str, ...]:
    """Return the lower-case words of a text, in order."""
    return tuple(WORD.findall(text.lower()))


@lru_cache(maxsize=1 << 16)
def trigrams_of(text: str) -> tuple[str, ...]:
    """Return the letter trigrams of a text's words, word ends marked by a space."""
    return tuple(f" {word} "[at : at + 3] for word in words_of(text) for at in range(len(word)))


def attribute_words(value: AttributeValue) -> tuple[str, ...]:
    """Return the words of a string or a list of strings; none for numbers and missing values."""
    if isinstance(value, str):
        return words_of(value)
    return words_of(" ".join(value)) if isinstance(value, tuple) else ()


def document_of(candidate: Candidate) -> str:
    """Return a candidate's text followed by its textual attributes."""
    said = (" ".join(attribute_words(value)) for value in candidate.attributes.values())
    return " ".join((candidate.text, *said))


def share_found(words: Iterable[str], among: Iterable[str]) -> float:
    """Return the share of distinct `words` that occur in `among`, 0 where there are none."""
    sought = set(words)
    return len(sought & set(among)) / len(sought) if sought else 0.0


@dataclass(frozen=True)
class Lexicon:
    """Inverse document frequencies learned on the training texts."""

    idf: Mapping[str, float]
    unseen: float
    """The weight of a term that no training text has."""

    def vector(self, terms: Iterable[str]) -> dict[str, float]:
        """Return the unit-length TF-IDF vector of these terms (empty for none)."""
        weights = {
            term: (1.0 + math.log(count)) * self.idf.get(term, self.unseen)
            for term, count in Counter(terms).items()
        }
        length = math.sqrt(sum(weight * weight for weight in weights.values()))
        return {term: weight / length for term, weight in weights.items()} if length else {}


def fit_lexicon(documents: Iterable[tuple[str, ...]]) -> Lexicon:
    """Return the smoothed inverse document frequencies, ln((1 + n) / (1 + df)) + 1."""
    frequency: Counter[str] = Counter()
    number = 0
    for terms in documents:
        frequency.update(set(terms))
        number += 1
    idf = {term: math.log((1 + number) / (1 + df)) + 1.0 for term, df in sorted(frequency.items())}
    return Lexicon(idf, math.log(1 + number) + 1.0)


def cosine(left: Mapping[str, float], right: Mapping[str, float]) -> float:
    """Return the dot product of two unit vectors."""
    small, large = (left, right) if len(left) < len(right) else (right, left)
    return sum(weight * large.get(term, 0.0) for term, weight in small.items())
