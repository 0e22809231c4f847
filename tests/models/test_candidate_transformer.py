"""A transformer as candidate generator: a tiny one with random weights stands in for all-MiniLM-L6-v2."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizerFast

from models import candidate_transformer
from models.candidate_transformer import TransformerEncoder, wanted_transformer
from models.candidates import load_candidates
from models.dataset import Candidate, Query
from models.settings import CandidateSettings
from models.train_candidates import Progress, fit
from nightshift.checkpoint import newest_whole, read_state
from nightshift.rundir import StageDir
from nightshift.trainer import TrainerRun

WORDS = ["red", "green", "blue", "tea", "beer", "coffee", "smoky", "sweet", "cold", "hot"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(1)
    shape = BertConfig(
        vocab_size=15, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(shape).save_pretrained(folder)
    return folder


def encoder(weights):
    transformer = Transformer(str(weights))
    pooling = Pooling(32, pooling_mode="mean")
    return TransformerEncoder(SentenceTransformer(modules=[transformer, pooling], device="cpu"), "tiny")


def queries():
    rng = np.random.default_rng(1)
    made = []
    for number in range(24):
        colour, drink = rng.choice(WORDS[:3]), rng.choice(WORDS[3:6])
        pool = tuple(
            Candidate(f"{number}-{i}", f"{rng.choice(WORDS[:3])} {rng.choice(WORDS[3:6])}", 0, 0.0)
            for i in range(5)
        )
        good = Candidate(f"{number}-good", f"{drink} {colour} sweet", 2, 0.0)
        made.append(Query(str(number), f"{colour} {drink}", (*pool, good)))
    return made


def test_a_saved_transformer_encodes_as_before_without_a_hub(weights, tmp_path):
    one = encoder(weights)
    one.save(tmp_path)
    assert not list(tmp_path.rglob("*.bin"))
    assert not list(tmp_path.rglob("*.pkl"))
    two = load_candidates(tmp_path)
    vectors = one.encode_queries(["red tea", "cold beer"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert two.encode_queries(["red tea", "cold beer"]) == pytest.approx(vectors, abs=1e-6)
    assert two.encoder == "tiny, tuned this night"


@pytest.mark.slow
def test_it_is_tuned_and_every_epoch_is_a_checkpoint_of_these_weights(weights, tmp_path):
    stage = StageDir(tmp_path)
    stage.out.mkdir(parents=True)
    run, one, searches = (
        TrainerRun(stage, 11, "n", "cpu", None, None, None, None),
        encoder(weights),
        queries(),
    )
    before = one.encode_queries(WORDS).copy()
    settings = CandidateSettings(
        encoder="transformer", epochs=3, transformer_batch=8, transformer_learning_rate=1e-3
    )
    progress = Progress(run, searches, one)
    fit(run, settings, one, searches, progress, 0.0)
    newest = newest_whole(stage.checkpoints)
    assert read_state(newest)["epoch"] == 3
    assert load_candidates(newest).encode_queries(WORDS) == pytest.approx(one.encode_queries(WORDS), abs=1e-6)
    assert np.abs(one.encode_queries(WORDS) - before).max() > 1e-3


@pytest.mark.parametrize(
    ("asked", "device", "at_hand", "tuned"),
    [
        ("auto", "cpu", True, False),
        ("auto", "cuda:0", True, True),
        ("auto", "cuda:0", False, False),
        ("static", "cuda:0", True, False),
        ("transformer", "cpu", True, True),
    ],
)
def test_a_transformer_is_tuned_on_a_gpu_where_its_weights_are(
    weights, monkeypatch, asked, device, at_hand, tuned
):
    monkeypatch.setattr(
        candidate_transformer, "text_encoder_source", lambda _name: str(weights) if at_hand else None
    )
    monkeypatch.setattr("sentence_transformers.SentenceTransformer", lambda source, device: (source, device))
    found = wanted_transformer(CandidateSettings(encoder=asked), device)
    assert (found is not None) is tuned
