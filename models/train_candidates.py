"""Candidate generator (`python -m models.train_candidates`): search, relevant item, hard negative.

Besides the other items of a batch, every pair has a negative of its own: an item that was judged
irrelevant for this very search and that a text search would rank high. Only where its pool has none is
another item drawn, which nobody judged for this search.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.bm25 import BM25
from models.candidate_transformer import TransformerEncoder, wanted_transformer
from models.candidates import (
    CandidateEncoder,
    StaticEncoder,
    corpus_of,
    item_text,
    load_candidates,
    recalls,
    recalls_of_scores,
    relevant_of,
    train_tokenizer,
)
from models.data import load_split
from models.dataset import Query
from models.settings import CandidateSettings, read_settings
from models.stage_best import forget_old
from nightshift.checkpoint import read_state
from nightshift.instant import boottime_s
from nightshift.trainer import TrainerRun, open_run

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

RESERVE_S = 1.5
Encoder = StaticEncoder | TransformerEncoder
DEEP, SHALLOW = 100, 10


@dataclass(frozen=True)
class Triple:
    """One training example, as texts."""

    search: str
    item: str
    negative: str


def training_triples(queries: Sequence[Query], seed: int) -> list[Triple]:
    """Return (search, relevant item, hard negative); without one, an item of another pool stands in.

    The hardest negatives of a pool come first, and each of its pairs takes another one.
    """
    corpus = corpus_of(queries)
    plain = BM25([item_text(item) for item in corpus])
    row_of = {item.id: row for row, item in enumerate(corpus)}
    rng = np.random.default_rng(seed)
    triples = []
    for query in queries:
        scores = plain.scores([query.text])[0]
        irrelevant = [item for item in query.candidates if item.relevance == 0]
        irrelevant.sort(key=lambda item: -scores[row_of[item.id]])
        good, pool = relevant_of(query), {item.id for item in query.candidates}
        relevant = [item for item in query.candidates if item.id in good]
        others = irrelevant or [item for item in corpus if item.id not in pool] or corpus
        for number, item in enumerate(relevant):
            other = others[number % len(others) if irrelevant else rng.integers(len(others))]
            triples.append(Triple(query.text, item_text(item), item_text(other)))
    return triples


def text_search_recall(queries: Sequence[Query], k: int) -> float:
    """Return the mean recall@k of BM25 over item texts."""
    corpus = corpus_of(queries)
    asked = [query for query in queries if relevant_of(query)]
    scores = BM25([item.text for item in corpus]).scores([query.text for query in asked])
    return float(recalls_of_scores(scores, [item.id for item in corpus], asked, k).mean())


class Progress:
    """Validates, saves and tells; the trainer's callback calls it."""

    def __init__(self, run: TrainerRun, val: Sequence[Query], encoder: CandidateEncoder) -> None:
        self.run, self.val, self.encoder = run, val, encoder
        self.plain = text_search_recall(val, DEEP)
        self.ending_s = 0.0

    def reserve_s(self) -> float:
        """Return the real seconds to keep for the last evaluation and checkpoint."""
        return max(RESERVE_S, 2 * self.ending_s)

    def evaluate_and_save(self, step: int, epoch: float) -> None:
        """Score validation with the weights as they are, tell it, and save exactly these weights."""
        self.run.phase("evaluate")
        began_s = boottime_s()
        deep, shallow = (float(each.mean()) for each in recalls(self.encoder, self.val, (DEEP, SHALLOW)))
        self.run.metrics(
            step,
            val_recall_at_100=deep,
            val_recall_at_10=shallow,
            val_recall_at_100_bm25=self.plain,
            val_recall_gain=deep - self.plain,
        )
        self.run.phase("checkpoint")
        self.run.save(
            step,
            self.encoder.save,
            kind="candidates",
            selection_score=deep,
            epoch=epoch,
            encoders={"text": self.encoder.encoder},
        )
        forget_old(self.run.folder.checkpoints)
        self.ending_s = max(self.ending_s, boottime_s() - began_s)
        self.run.phase("train")


def fit(run: TrainerRun, settings: CandidateSettings, encoder: Encoder, train: Sequence[Query],
        progress: Progress, first_epoch: float) -> None:  # fmt: skip
    """Train the encoder in place, with sentence-transformers' own trainer."""
    # Imported here: these take seconds, and an untrained encoder is validated and saved before.
    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

    from models.candidate_callback import NightCallback

    triples = training_triples(train, run.seed)
    if not triples:
        print("no training query has a relevant item: nothing can be learned")
        return
    model, take = trainable(encoder, run.device)
    static = isinstance(encoder, StaticEncoder)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(run.folder.out / "trainer"),
        num_train_epochs=max(0.0, settings.epochs - first_epoch),
        per_device_train_batch_size=settings.batch if static else settings.transformer_batch,
        learning_rate=settings.learning_rate if static else settings.transformer_learning_rate,
        seed=run.seed,
        data_seed=run.seed,
        report_to="none",
        save_strategy="no",
        logging_strategy="steps",
        logging_steps=1,
        disable_tqdm=True,
        use_cpu=run.device == "cpu",
        bf16=run.device.startswith("cuda") and torch.cuda.is_bf16_supported(),
    )

    def save(step: int, epoch: float) -> None:
        take()
        progress.evaluate_and_save(step, epoch)

    torch.set_num_threads(min(2, torch.get_num_threads()))
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict(columns_of(triples, settings.hard_negatives)),
        loss=MultipleNegativesRankingLoss(model),
        callbacks=[
            NightCallback(run, save, settings, arguments, len(triples), first_epoch, progress.reserve_s)
        ],
    )
    trainer.train()


def columns_of(triples: Sequence[Triple], hard_negatives: bool) -> dict[str, list[str]]:
    """Return the triples as the columns that sentence-transformers reads in this order."""
    columns = {"anchor": [t.search for t in triples], "positive": [t.item for t in triples]}
    return columns | ({"negative": [t.negative for t in triples]} if hard_negatives else {})


def trainable(encoder: Encoder, device: str) -> tuple[Any, Callable[[], None]]:
    """Return the encoder as sentence-transformers trains it, and what brings the weights back."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    if not isinstance(encoder, StaticEncoder):
        return encoder.model.to(device), lambda: None
    module = StaticEmbedding(encoder.tokenizer, embedding_weights=encoder.embedding)

    def take() -> None:
        encoder.embedding = np.array(module.embedding.weight.detach().cpu(), dtype=np.float32)

    return SentenceTransformer(modules=[module], device=device), take


def begin(run: TrainerRun, settings: CandidateSettings, train: Sequence[Query]) -> tuple[Encoder, float, int]:
    """Return the encoder to start from, its epoch and its step: resumed, pretrained, or random vectors."""
    if run.resume:
        state = read_state(run.resume)
        resumed: Encoder = load_candidates(run.resume, run.device)  # type: ignore[assignment]
        return resumed, float(str(state["epoch"])), int(str(state["step"]))
    if transformer := wanted_transformer(settings, run.device):
        return transformer, 0.0, 0
    texts = [query.text for query in train] + [item_text(item) for item in corpus_of(train)]
    tokenizer = train_tokenizer(texts)
    rng = np.random.default_rng(run.seed)
    shape = (tokenizer.get_vocab_size(), settings.width)
    return StaticEncoder(tokenizer, rng.normal(0, 0.1, shape).astype(np.float32)), 0.0, 0


def main() -> int:
    """Return the exit code of this trainer."""
    run = open_run()
    settings = read_settings(CandidateSettings, run.inputs.get("settings"))
    run.phase("load")
    if Path(run.inputs["train"]).suffix != ".jsonl":
        print("train_candidates: this data has features only; candidates need words", file=sys.stderr)
        return 2
    train, val = load_split(run.inputs["train"], None), load_split(run.inputs["val"], None)
    encoder, epoch, step = begin(run, settings, train)
    print("encoder:", encoder.encoder)
    progress = Progress(run, val, encoder)
    if not run.resume:
        progress.evaluate_and_save(step, epoch)
    if not run.should_stop(progress.reserve_s()) and epoch < settings.epochs:
        fit(run, settings, encoder, train, progress, epoch)
    run.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
