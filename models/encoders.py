"""Raw items and queries as vectors: fitted on train, saved as JSON and arrays, rebuilt from raw inputs."""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.attribute_features import NumberSchema, attribute_words
from models.dataset import Candidate, Query
from models.embedding_cache import EmbeddingCache, content_key
from models.image_features import VERSION as HAND_MADE
from models.image_features import image_features
from models.pretrained import (
    MINILM_TEXTS_PER_S,
    ImageEncoder,
    TextEncoder,
    load_clip_vision,
    load_text_encoder,
    text_encoder_source,
    weights_at_hand,
)
from models.text_features import HashedTfidf
from nightshift.states import NightError

Floats = NDArray[np.float32]
MODALITIES = ("image", "text", "attributes")
TFIDF = "hashed TF-IDF v1"
TEXT_SHARE = 0.15
"""A sentence encoder may take this share of the stage; slower ones give way to TF-IDF, and it is said."""
ARRAYS, SETTINGS = "encoders.npz", "encoders.json"


@dataclass(frozen=True)
class Choice:
    """Which encoders run, and why."""

    text_source: str | None
    """Name of the sentence encoder; None: TF-IDF."""
    vision_source: str | None
    """Name of the CLIP weights; None: hand-made features."""
    spoken: Mapping[str, str]
    """Modality -> what ran, in words."""


def choose(text: str, vision: str, texts: int, seconds: float, pictures: bool) -> Choice:
    """Return the wanted encoders where their weights are at hand and fit the time, else the offline ones.

    `texts` distinct texts must be encoded now, and as many again by the judge, in a stage of `seconds`.
    """
    source = text if text_encoder_source(text) else None
    needed_s = 2 * texts / MINILM_TEXTS_PER_S
    spoken = {"attributes": "standardised numbers and TF-IDF of words", "text": source or ""}
    if source is None:
        spoken["text"] = f"{TFIDF} (weights of {text} are not at hand)"
    elif needed_s > TEXT_SHARE * seconds:
        spoken["text"] = f"{TFIDF} ({text} would take {needed_s:.0f} s of {seconds:.0f} s for {texts} texts)"
        source = None
    clip = vision if pictures and weights_at_hand(vision) else None
    spoken["image"] = clip or (f"{HAND_MADE} (weights of {vision} are not at hand)" if pictures else "absent")
    return Choice(source, clip, spoken)


def _sentence_encoder(name: str, device: str) -> TextEncoder:
    """Return the sentence encoder of this name; whoever loads it, the judge too, verifies its weights.

    Raises NightError where the weights are not at hand (any more).
    """
    source = text_encoder_source(name)
    if source is None:
        raise NightError(
            f"the weights of {name} are not at hand here; install nightshift[minilm], or go online"
        )
    return load_text_encoder(source, device)


@dataclass(frozen=True)
class Standard:
    """Column means and spreads of a table, fitted on train."""

    mean: Floats
    spread: Floats

    @classmethod
    def fit(cls, table: Floats) -> "Standard":
        """Return the standardisation of this table, shape (rows, columns)."""
        return cls(table.mean(axis=0), np.maximum(table.std(axis=0), 1e-4))

    def apply(self, table: Floats) -> Floats:
        """Return the table standardised and clipped to +-4 spreads, each row of length 3 or so."""
        scaled = np.clip((table - self.mean) / self.spread, -4, 4) * (3 / np.sqrt(max(1, table.shape[1])))
        return np.asarray(scaled, dtype=np.float32)


class Encoders:
    """Every encoder of one model."""

    def __init__(
        self, choice: Choice, tfidf: HashedTfidf, numbers: NumberSchema, standard: Standard,
        device: str = "cpu", cache: Path | None = None,
    ) -> None:  # fmt: skip
        self.choice, self.tfidf, self.numbers, self.standard = choice, tfidf, numbers, standard
        self.device, self.cache = device, cache
        self._text: TextEncoder | None = None
        self._vision: ImageEncoder | None = None
        self._pictures = EmbeddingCache(cache, choice.vision_source or HAND_MADE)
        self._texts = EmbeddingCache(cache, choice.text_source or TFIDF)
        self._picture_keys: dict[Path, str] = {}
        self._words: dict[str, Floats] = {}

    @classmethod
    def fit(cls, choice: Choice, train: Sequence[Query], device: str, cache: Path | None) -> "Encoders":
        """Return encoders fitted on the training queries and items."""
        items = list({c.id: c for query in train for c in query.candidates}.values())
        texts = [query.text for query in train] + [item.text for item in items]
        tfidf = HashedTfidf.fit(texts + [attribute_words(item.attributes) for item in items])
        numbers = NumberSchema.fit([item.attributes for item in items])
        encoders = cls(
            choice, tfidf, numbers, Standard(np.zeros(1, np.float32), np.ones(1, np.float32)), device, cache
        )
        pictures = [item.image for item in items if item.image]
        if pictures:
            encoders.standard = Standard.fit(encoders.raw_pictures(pictures))
        return encoders

    @property
    def widths(self) -> dict[str, int]:
        """Columns per modality, and of `query`."""
        image = self.standard.mean.size + 1
        words = self.tfidf.idf.size
        text = words + (384 if self.choice.text_source else 0)
        return {"image": image, "text": text, "attributes": words + self.numbers.width, "query": text}

    def _picture_key(self, path: Path) -> str:
        if path not in self._picture_keys:
            self._picture_keys[path] = content_key(path.read_bytes())
        return self._picture_keys[path]

    def raw_pictures(self, paths: Sequence[Path]) -> Floats:
        """Return picture vectors before standardising, shape (paths, width); equal content is encoded once."""
        keys = [self._picture_key(path) for path in paths]
        new = self._pictures.missing(keys)
        if new:
            fresh = [paths[i] for i in new]
            if self.choice.vision_source:
                self._vision = self._vision or load_clip_vision(self.choice.vision_source, self.device)
                vectors = self._vision(fresh)
            else:
                vectors = np.stack([image_features(path) for path in fresh])
            self._pictures.add([keys[i] for i in new], vectors)
        return self._pictures.stack(keys)

    def _images(self, items: Sequence[Candidate]) -> Floats:
        """Return standardised pictures and, last, a flag for what has none (all else 0: never random)."""
        table = np.zeros((len(items), self.widths["image"]), dtype=np.float32)
        table[:, -1] = 1.0
        rows = [i for i, item in enumerate(items) if item.image is not None]
        paths = [item.image for item in items if item.image is not None]
        if paths:
            table[rows, :-1] = self.standard.apply(self.raw_pictures(paths))
            table[rows, -1] = 0.0
        return table

    def _tfidf(self, texts: Sequence[str]) -> Floats:
        new = list(dict.fromkeys(text for text in texts if text not in self._words))
        if new:
            self._words.update(zip(new, self.tfidf.encode(new), strict=True))
        return np.stack([self._words[text] for text in texts])

    def texts(self, texts: Sequence[str]) -> Floats:
        """Return text vectors: TF-IDF first, then the sentence encoder's where one runs."""
        words = self._tfidf(texts)
        if not self.choice.text_source:
            return words
        keys = [content_key(text.encode()) for text in texts]
        new = self._texts.missing(keys)
        if new:
            self._text = self._text or _sentence_encoder(self.choice.text_source, self.device)
            self._texts.add([keys[i] for i in new], self._text([texts[i] for i in new]))
        return np.concatenate([words, self._texts.stack(keys)], axis=1)

    def modality(self, name: str, items: Sequence[Candidate]) -> Floats:
        """Return the vectors of one modality of these items, shape (items, width)."""
        if name == "image":
            return self._images(items)
        if name == "text":
            return self.texts([item.text for item in items])
        words = self._tfidf([attribute_words(item.attributes) for item in items])
        numbers = self.numbers.encode([item.attributes for item in items])
        return np.concatenate([words, numbers * 0.3], axis=1)

    def items(self, items: Sequence[Candidate]) -> dict[str, Floats]:
        """Return per modality the vectors of these items, shape (items, width)."""
        return {name: self.modality(name, items) for name in MODALITIES}

    def save(self, folder: Path) -> None:
        """Write what rebuilds these encoders: JSON and plain arrays."""
        settings = {
            "text_source": self.choice.text_source,
            "vision_source": self.choice.vision_source,
            "spoken": dict(self.choice.spoken),
            "numbers": [self.numbers.names, self.numbers.means, self.numbers.spreads],
        }
        (folder / SETTINGS).write_text(json.dumps(settings))
        with (folder / ARRAYS).open("wb") as file:
            np.savez(file, idf=self.tfidf.idf, mean=self.standard.mean, spread=self.standard.spread)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", cache: Path | None = None) -> "Encoders":
        """Return the encoders of a checkpoint; without a cache everything is encoded from raw inputs."""
        settings = json.loads((folder / SETTINGS).read_text())
        with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
            idf, mean, spread = arrays["idf"], arrays["mean"], arrays["spread"]
        choice = Choice(settings["text_source"], settings["vision_source"], settings["spoken"])
        numbers = NumberSchema(*settings["numbers"])
        return cls(choice, HashedTfidf(idf), numbers, Standard(mean, spread), device, cache)


def has_pictures(queries: Sequence[Query]) -> bool:
    """Return whether any candidate has a picture."""
    return any(candidate.image for query in queries for candidate in query.candidates)


def raw_content(modality: str, item: Candidate) -> Hashable:
    """Return what one modality of an item is made of: equal content has equal vectors."""
    if modality == "image":
        return item.image
    return item.text if modality == "text" else tuple(sorted(item.attributes.items()))
