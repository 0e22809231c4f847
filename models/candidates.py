"""Candidate generation: a bi-encoder, and recall over a corpus.

The encoder of a CPU night is static: one vector per word piece, averaged and normalised. It is trained
as sentence-transformers' `StaticEmbedding`, but loaded here without that library, because a search or a
judge then starts in milliseconds instead of seconds. `candidate_transformer.py` is the one for a GPU.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer

from models.attribute_features import attribute_words
from models.dataset import Candidate, Query

Floats = NDArray[np.float32]
VOCABULARY = 8000
GOOD, FAIR = 2, 1
TOKENIZER, EMBEDDING, TRANSFORMER = "tokenizer.json", "embedding.safetensors", "transformer"
NAME = "static word-piece embedding, width {width}, trained this night"


def item_text(item: Candidate) -> str:
    """Return what the encoder reads of an item: its text and the words of its attributes."""
    return f"{item.text} {attribute_words(item.attributes)}".strip()


def corpus_of(queries: Sequence[Query]) -> list[Candidate]:
    """Return the distinct items of these queries' pools, by id."""
    return list({item.id: item for query in queries for item in query.candidates}.values())


def relevant_of(query: Query) -> set[str]:
    """Return the ids of relevance 2 and more, or of 1 where no item has more; empty where none is relevant."""
    for least in (GOOD, FAIR):
        ids = {item.id for item in query.candidates if item.relevance >= least}
        if ids:
            return ids
    return set()


def recall_at_k(ids: Sequence[str], relevant: set[str], k: int) -> float:
    """Return the share of the relevant items among the first k ids, of at most k that could be there."""
    return len(relevant & set(ids[:k])) / min(k, len(relevant))


def train_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """Return a lower-casing word-piece tokenizer of these texts; unknown words fall into pieces."""
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    trainer = WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=["[UNK]"], min_frequency=2, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


class CandidateEncoder(Protocol):
    """Texts as unit vectors."""

    encoder: str
    """What it is, in words."""

    def encode_queries(self, queries: Sequence[str]) -> Floats:
        """Return the vectors of searches, shape (queries, width)."""
        ...

    def encode_items(self, items: Sequence[Candidate]) -> Floats:
        """Return the vectors of items, shape (items, width)."""
        ...

    def save(self, folder: Path) -> None:
        """Write what `load_candidates` reads; nothing is pickled."""
        ...


class StaticEncoder:
    """A vector per word piece."""

    def __init__(self, tokenizer: Tokenizer, embedding: Floats) -> None:
        self.tokenizer, self.embedding = tokenizer, embedding
        self.encoder = NAME.format(width=embedding.shape[1])

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Return vectors of length 1, shape (texts, width); a text without a known piece is all zeros."""
        vectors = np.zeros((len(texts), self.embedding.shape[1]), dtype=np.float32)
        for row, encoded in enumerate(self.tokenizer.encode_batch(list(texts), add_special_tokens=False)):
            if encoded.ids:
                vectors[row] = self.embedding[encoded.ids].mean(axis=0)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)

    def encode_queries(self, queries: Sequence[str]) -> Floats:
        """Return the vectors of searches."""
        return self.encode_texts(queries)

    def encode_items(self, items: Sequence[Candidate]) -> Floats:
        """Return the vectors of items."""
        return self.encode_texts([item_text(item) for item in items])

    def save(self, folder: Path) -> None:
        """Write tokenizer and embedding; nothing is pickled."""
        self.tokenizer.save(str(folder / TOKENIZER))
        save_file({"embedding": np.ascontiguousarray(self.embedding)}, folder / EMBEDDING)


def load_candidates(checkpoint: Path, device: str = "cpu") -> CandidateEncoder:
    """Return the encoder of a checkpoint of kind candidates or pool; only a transformer uses `device`."""
    if (checkpoint / TRANSFORMER).is_dir():
        from models.candidate_transformer import load_transformer

        return load_transformer(checkpoint, device)
    tokenizer = Tokenizer.from_file(str(checkpoint / TOKENIZER))
    return StaticEncoder(tokenizer, load_file(checkpoint / EMBEDDING)["embedding"])


def recalls(encoder: CandidateEncoder, queries: Sequence[Query], ks: Sequence[int]) -> list[Floats]:
    """Return recall at each k over the whole corpus of these queries, one value per query with a relevant item."""
    corpus = corpus_of(queries)
    asked = [query for query in queries if relevant_of(query)]
    scores = encoder.encode_queries([query.text for query in asked]) @ encoder.encode_items(corpus).T
    return [recalls_of_scores(scores, [item.id for item in corpus], asked, k) for k in ks]


def recalls_of_scores(
    scores: NDArray[np.floating], ids: Sequence[str], queries: Sequence[Query], k: int
) -> Floats:
    """Return recall@k per query from scores of shape (queries, corpus)."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.array(
        [
            recall_at_k([ids[i] for i in row], relevant_of(q), k)
            for row, q in zip(order, queries, strict=True)
        ],
        dtype=np.float32,
    )
