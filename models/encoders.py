"""Raw items and queries as vectors: fitted on train, saved as JSON and arrays, rebuilt from raw inputs."""

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.attribute_features import NumberSchema, attribute_words
from models.dataset import Candidate, Query
from models.embedding_cache import EmbeddingCache, content_key
from models.encoder_choice import TFIDF, Choice
from models.image_features import VERSION as HAND_MADE
from models.image_features import image_features
from models.image_network import VERSION as NETWORK
from models.image_network import ImageNetwork, load_image_network
from models.pretrained import (
    ImageEncoder,
    TextEncoder,
    load_clip_vision,
    load_text_encoder,
    text_encoder_source,
)
from models.text_features import HashedTfidf
from nightshift.states import NightError

Floats = NDArray[np.float32]
MODALITIES = ("image", "text", "attributes")
ARRAYS, SETTINGS = "encoders.npz", "encoders.json"


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
        self.network: ImageNetwork | None = None
        """The CNN trained this night, once there is one."""
        self.learned = Standard(np.zeros(0, np.float32), np.ones(0, np.float32))
        self._learned_rows: dict[str, Floats] = {}
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
        image = self.standard.mean.size + self.learned.mean.size + 1
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

    def learn_pictures(self, network: ImageNetwork, train: Sequence[Path]) -> None:
        """Read pictures with this CNN too from now on; its features are standardised on these pictures."""
        self.network, self._learned_rows = network, {}
        self.learned = Standard.fit(self._learned(train))
        spoken = dict(self.choice.spoken)
        spoken["image"] = spoken["image"].replace(HAND_MADE, f"{HAND_MADE} and {NETWORK}")
        self.choice = Choice(self.choice.text_source, self.choice.vision_source, spoken)

    def _learned(self, paths: Sequence[Path]) -> Floats:
        """Return the CNN's features, shape (paths, width); 0 columns where there is none."""
        if self.network is None:
            return np.zeros((len(paths), 0), dtype=np.float32)
        keys = [self._picture_key(path) for path in paths]
        new = {key: path for key, path in zip(keys, paths, strict=True) if key not in self._learned_rows}
        if new:
            rows = self.network.encode(list(new.values()), self.device)
            self._learned_rows.update(zip(new, rows, strict=True))
        return np.stack([self._learned_rows[key] for key in keys])

    def _images(self, items: Sequence[Candidate]) -> Floats:
        """Return standardised pictures and, last, a flag for what has none (all else 0: never random)."""
        table = np.zeros((len(items), self.widths["image"]), dtype=np.float32)
        table[:, -1] = 1.0
        rows = [i for i, item in enumerate(items) if item.image is not None]
        paths = [item.image for item in items if item.image is not None]
        if paths:
            raw = self.standard.apply(self.raw_pictures(paths))
            table[rows, :-1] = np.hstack([raw, self.learned.apply(self._learned(paths))])
            table[rows, -1] = 0.0
        return table

    def _tfidf(self, texts: Sequence[str]) -> Floats:
        new = list(dict.fromkeys(text for text in texts if text not in self._words))
        if new:
            self._words.update(zip(new, self.tfidf.encode(new), strict=True))
        return np.stack([self._words[text] for text in texts])

    def texts(self, texts: Sequence[str], remember: bool = True) -> Floats:
        """Return text vectors: TF-IDF first, then the sentence encoder's where one runs."""
        words = self._tfidf(texts) if remember else self.tfidf.encode(texts)
        if not self.choice.text_source:
            return words
        if not remember:
            self._text = self._text or _sentence_encoder(self.choice.text_source, self.device)
            return np.concatenate([words, self._text(texts)], axis=1)
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
            np.savez(
                file, idf=self.tfidf.idf, mean=self.standard.mean, spread=self.standard.spread,
                learned_mean=self.learned.mean, learned_spread=self.learned.spread,
            )  # fmt: skip
        if self.network:
            self.network.save(folder)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", cache: Path | None = None) -> "Encoders":
        """Return the encoders of a checkpoint; without a cache everything is encoded from raw inputs."""
        settings = json.loads((folder / SETTINGS).read_text())
        with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
            idf, standard = arrays["idf"], Standard(arrays["mean"], arrays["spread"])
            learned = Standard(arrays["learned_mean"], arrays["learned_spread"])
        choice = Choice(settings["text_source"], settings["vision_source"], settings["spoken"])
        numbers = NumberSchema(*settings["numbers"])
        encoders = cls(choice, HashedTfidf(idf), numbers, standard, device, cache)
        encoders.network, encoders.learned = load_image_network(folder), learned
        return encoders


def has_pictures(queries: Sequence[Query]) -> bool:
    """Return whether any candidate has a picture."""
    return any(candidate.image for query in queries for candidate in query.candidates)


def raw_content(modality: str, item: Candidate) -> Hashable:
    """Return what one modality of an item is made of: equal content has equal vectors."""
    if modality == "image":
        return item.image
    return item.text if modality == "text" else tuple(sorted(item.attributes.items()))
