import numpy as np
import pytest

from models import pool_vectors
from models.bm25 import BM25
from models.candidates import (
    StaticEncoder,
    corpus_of,
    item_text,
    load_candidates,
    recall_at_k,
    relevant_of,
    train_tokenizer,
)
from models.dataset import Candidate, Query
from models.pool import PoolIndex, build, efforts, least_effort, load_pool, recall, set_effort
from models.pool_plan import PoolRow, predicted_seconds, why_skip
from models.pool_vectors import Pool
from models.train_candidates import training_triples

TEXTS = ["red smoky cocktail", "green tea from japan", "smoky beer", "black coffee kenya"] * 3


@pytest.fixture
def encoder():
    tokenizer = train_tokenizer(TEXTS)
    rng = np.random.default_rng(1)
    return StaticEncoder(tokenizer, rng.normal(size=(tokenizer.get_vocab_size(), 32)).astype(np.float32))


def test_bm25_by_hand():
    index = BM25(["a b", "a a a", "c"])
    scores = index.scores(["a", "c", "zzz"])
    idf = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    expected = idf * 3 * 2.2 / (3 + 1.2 * (0.25 + 0.75 * 3 / 2))
    assert scores[0, 1] == pytest.approx(expected)
    assert scores[0, 2] == 0
    assert scores[1].argmax() == 2
    assert not scores[2].any()


def test_vectors_have_length_one_and_read_back_the_same(encoder, tmp_path):
    vectors = encoder.encode_texts(["red beer", "GREEN Tea", "..."])
    assert np.linalg.norm(vectors[:2], axis=1) == pytest.approx([1, 1], abs=1e-5)
    encoder.save(tmp_path)
    assert load_candidates(tmp_path).encode_texts(["red beer"]) == pytest.approx(vectors[:1])


def test_it_encodes_as_sentence_transformers_does(encoder):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    theirs = SentenceTransformer(
        modules=[StaticEmbedding(encoder.tokenizer, embedding_weights=encoder.embedding)]
    )
    expected = theirs.encode(["smoky green coffee", "beer"], normalize_embeddings=True)
    assert encoder.encode_texts(["smoky green coffee", "beer"]) == pytest.approx(expected, abs=1e-5)


def test_relevant_items_and_recall():
    pool = (Candidate("a", "x", 3, 0.0), Candidate("b", "y", 1, 0.0), Candidate("c", "z", 2, 0.0))
    assert relevant_of(Query("q", "t", pool)) == {"a", "c"}
    assert relevant_of(Query("q", "t", pool[1:2])) == {"b"}
    assert recall_at_k(["a", "x", "c"], {"a", "c"}, 2) == 0.5
    assert recall_at_k(["a", "c"], {"a", "c", "d"}, 2) == 1.0
    assert len(corpus_of([Query("q", "t", pool), Query("p", "t", pool)])) == 3
    assert (
        item_text(Candidate("a", "tea", 1, 0.0, attributes={"from": "japan", "tags": ("hot",)}))
        == "tea japan hot"
    )


def test_labels_of_one_grade_teach_too_and_a_negative_is_never_the_query_s_own_item():
    liked = tuple(Candidate(f"a{i}", f"tea {i}", 1, 0.0) for i in range(2))
    other = (Candidate("b", "beer", 1, 0.0), Candidate("c", "red beer", 0, 0.0))
    triples = training_triples([Query("q", "tea", liked), Query("p", "beer", other)], seed=1)
    assert [(t.search, t.item) for t in triples] == [("tea", "tea 0"), ("tea", "tea 1"), ("beer", "beer")]
    assert triples[2].negative == "red beer"
    assert {t.negative for t in triples[:2]} <= {"beer", "red beer"}


def test_a_pool_grows_by_labelled_copies():
    real = np.eye(8, dtype=np.float32)
    pool = Pool(real, 100, seed=1).in_memory()
    assert pool.held.shape == (100, 8)
    assert pool.jittered_share == 0.92
    assert np.array_equal(pool.held[:8], real)
    assert np.linalg.norm(pool.held, axis=1) == pytest.approx(np.ones(100), abs=1e-5)
    small = Pool(real, 5, seed=1)
    assert (small.jittered_share, small.in_memory().held.shape) == (0.0, (5, 8))


def test_a_pool_that_is_made_anew_is_the_pool_in_memory(monkeypatch):
    monkeypatch.setattr(pool_vectors, "CHUNK", 37)
    rng = np.random.default_rng(3)
    real = rng.normal(size=(20, 8)).astype(np.float32)
    real /= np.linalg.norm(real, axis=1, keepdims=True)
    streamed = Pool(real, 200, seed=1)
    held = streamed.in_memory()
    assert np.array_equal(np.concatenate(list(streamed.chunks())), held.held)
    assert np.array_equal(streamed.every(7), held.held[::7])
    truth = np.argsort(-(real[:3] @ held.held.T), axis=1, kind="stable")[:, :10]
    for pool in (streamed, held):
        assert [set(row) for row in pool.exact(real[:3], 10)] == [set(row) for row in truth]


@pytest.mark.parametrize("name", ["IVF,SQ8", "HNSW"])
def test_an_index_is_tuned_to_its_target_against_exact_search(name):
    rng = np.random.default_rng(2)
    real = rng.normal(size=(400, 16)).astype(np.float32)
    real /= np.linalg.norm(real, axis=1, keepdims=True)
    pool = Pool(real, 4000, seed=1).in_memory()
    queries = real[:50]
    exact = pool.exact(queries, 100)
    assert recall(build("Flat", pool).search(queries, 100)[1], exact) > 0.999
    index = build(name, pool)
    points = efforts(name, index, queries, exact, 0.9)
    chosen = least_effort(points, 0.9)
    assert chosen.recall_at_100 >= 0.9
    assert all(point.recall_at_100 < 0.9 for point in points[: points.index(chosen)])
    assert str(chosen.effort) in chosen.words
    set_effort(name, index, chosen.effort)
    assert recall(index.search(queries, 100)[1], exact) == pytest.approx(chosen.recall_at_100)


def test_a_saved_pool_searches_as_before(encoder, tmp_path):
    held = Pool(encoder.encode_texts(TEXTS), 300, seed=1).in_memory()
    pool = PoolIndex(encoder, build("HNSW", held), held.held, "HNSW")
    pool.save(tmp_path, 200)
    loaded = load_pool(tmp_path)
    assert loaded.size == 300
    assert np.array_equal(loaded.search(["smoky beer"], 5), pool.search(["smoky beer"], 5))
    best = loaded.exact(encoder.encode_queries(["smoky beer"]), 10)
    assert len(set(best[0])) == 10


def test_a_build_ends_where_the_time_is_over(monkeypatch):
    monkeypatch.setattr(pool_vectors, "CHUNK", 50)
    real = np.eye(8, dtype=np.float32)
    asked = iter([False, False, True])
    assert build("HNSW", Pool(real, 400, seed=1), lambda: next(asked)) is None
    assert build("HNSW", Pool(real, 400, seed=1).in_memory()).ntotal == 400


def test_growth_that_was_measured_is_believed():
    def row(size, build_s):
        return PoolRow(size, "HNSW", 1, 1, 1, 1, 1, build_s, 0, "", "", True, 9, 0, 0)

    usual, steep = [row(10**5, 3.0), row(10**6, 42.0)], [row(10**5, 3.0), row(10**6, 90.0)]
    assert predicted_seconds("HNSW", 10**7, usual) == pytest.approx(42 * 10**1.15 + 1, rel=0.01)
    assert predicted_seconds("HNSW", 10**7, steep) == pytest.approx(90 * 30 + 1, rel=0.01)


def test_a_step_that_does_not_fit_is_skipped_with_its_reason():
    row = PoolRow(10_000, "HNSW", 1, 1, 1, 1, 1, 2.0, 0, "", "", True, 9, 0, 0)
    needed = predicted_seconds("HNSW", 100_000, [row])
    assert 20 < needed < 60
    assert "s are left" in why_skip(1e6, needed, 5)
    assert "GB may be used" in why_skip(1e15, 1, 100)
    assert why_skip(1e6, 1, 100) == ""
