"""A night that ends in a candidate generator: recall over the whole corpus, the index, its latency."""

import json
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from models.bm25 import BM25
from models.candidates import CandidateEncoder, corpus_of, load_candidates, recall_at_k, relevant_of
from models.dataset import Query
from models.pool import PoolIndex, load_pool
from models.serving import Scorer
from nightshift.checkpoint import read_state, whole_checkpoints
from nightshift.rundir import RunDir
from nightshift.states import Metric
from schedules.plan import Criterion
from verdict.criteria import judge_gain, judge_latency, judge_share, not_measured
from verdict.evidence import Evidence
from verdict.finding import Finding
from verdict.judgement import Judgement
from verdict.scored import load_queries
from verdict.seal import Seal
from verdict.statistics import t_interval
from verdict.timing import CALLS, TEXT_CALLS, WARM_UP, Latency, distinct_texts, latency_facts, time_calls

K, SHALLOW = 100, 10
PROBES = 200
"""Queries with which the index is compared with exact search."""


def judge_candidates(result: Judgement, run: RunDir, seal: Seal, evidence: Evidence) -> None:
    """Judge the bi-encoder and the index built on it."""
    if seal.data.kind != "multimodal":
        result.notes.append("Candidates need queries and items in words; this data set has features only.")
        return
    assert evidence.checkpoint is not None
    queries = {
        s: [q for q in load_queries(seal, s) if isinstance(q, Query) and q.id not in result.left_out]
        for s in ("train", "val", "test")
    }
    gains = _recall(result, evidence.checkpoint, queries, seal.device)
    pool = _newest_pool(run, seal)
    texts = [q.text for split in queries.values() for q in split]
    latency = _latency(result, run, seal, pool, texts)
    recall = _pool_recall(pool, [q.text for q in queries["test"]]) if pool else None
    result.pools = _pool_rows(run, seal)
    for criterion in seal.night.criteria:
        answer = _answer(criterion, seal, gains, latency, recall)
        if answer is not None:
            result.findings.append(answer)


def _answer(
    criterion: Criterion,
    seal: Seal,
    gains: np.ndarray,
    latency: Latency | None,
    recall: np.ndarray | None,
) -> Finding | None:
    if criterion.metric is Metric.CANDIDATE_RECALL_AT_100:
        return judge_gain(criterion, gains, seal.seed, "recall@100 over plain text search")
    if criterion.metric is Metric.INFERENCE_MS:
        return judge_latency(criterion, latency) if latency else not_measured(criterion, "no index was built")
    if criterion.metric is Metric.POOL_RECALL_AT_100:
        if recall is None:
            return not_measured(criterion, "no index was built")
        return judge_share(criterion, recall, "recall@100 of the index against exact search")
    return None


def _recall(result: Judgement, checkpoint: Path, queries: dict[str, list[Query]], device: str) -> np.ndarray:
    """Return per test query the gain in recall@100 over BM25; fills scores and encoders."""
    encoder = load_candidates(checkpoint, device)
    result.encoders = {"text": encoder.encoder}
    gains = np.empty(0)
    for split, name in (("val", "validation"), ("test", "test")):
        corpus = corpus_of(queries[split])
        ids = [item.id for item in corpus]
        asked = [query for query in queries[split] if relevant_of(query)]
        vectors = encoder.encode_items(corpus)
        ours = encoder.encode_queries([query.text for query in asked]) @ vectors.T
        plain = BM25([item.text for item in corpus]).scores([query.text for query in asked])
        new, old = (_recalls(scores, ids, asked, K) for scores in (ours, np.asarray(plain)))
        shallow = [_recalls(scores, ids, asked, SHALLOW) for scores in (ours, np.asarray(plain))]
        gains = new - old
        interval = t_interval(gains)
        result.scores[name] = {
            "n": interval.n,
            "corpus": len(ids),
            "recall_at_100": float(new.mean()),
            "recall_at_100_text_search": float(old.mean()),
            "recall_at_10": float(shallow[0].mean()),
            "recall_at_10_text_search": float(shallow[1].mean()),
            **_inside_pools(encoder, asked),
            "gain": interval.mean,
            "gain_low": interval.low,
            "gain_high": interval.high,
            "left_out": len(queries[split]) - len(asked),
        }
    result.gains = [round(float(gain), 6) for gain in gains]
    return gains


def _recalls(scores: np.ndarray, ids: list[str], queries: list[Query], k: int) -> np.ndarray:
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.array(
        [recall_at_k([ids[i] for i in row], relevant_of(q), k) for row, q in zip(order, queries, strict=True)]
    )


def _inside_pools(encoder: CandidateEncoder, queries: list[Query]) -> dict[str, JsonValue]:
    """Return recall@10 within the judged pools, the only place where V1.0 has scores."""
    ours: list[float] = []
    v1: list[float] = []
    row_of = {item.id: row for row, item in enumerate(corpus_of(queries))}
    items = encoder.encode_items(corpus_of(queries))
    searches = encoder.encode_queries([query.text for query in queries])
    for query, search in zip(queries, searches, strict=True):
        ids, relevant = [item.id for item in query.candidates], relevant_of(query)
        scores = items[[row_of[one] for one in ids]] @ search
        for values, into in ((scores, ours), (query.scores_v1(), v1)):
            order = np.argsort(-values, kind="stable")[:SHALLOW]
            into.append(recall_at_k([ids[i] for i in order], relevant, SHALLOW))
    return {"pool_recall_at_10": float(np.mean(ours)), "pool_recall_at_10_v1": float(np.mean(v1))}


def _newest(run: RunDir, seal: Seal, kind: str) -> Path | None:
    for stage in reversed(seal.night.stages):
        for path in reversed(whole_checkpoints(run.stage(stage.name).checkpoints)):
            state = read_state(path)
            if state.get("kind") == kind and state.get("nonce") == seal.nonce:
                return path
    return None


def _newest_pool(run: RunDir, seal: Seal) -> PoolIndex | None:
    path = _newest(run, seal, "pool")
    return load_pool(path) if path else None


def _latency(
    result: Judgement, run: RunDir, seal: Seal, pool: PoolIndex | None, texts: list[str]
) -> Latency | None:
    """Return the latency of the serving bundle, or of the index alone where there is no bundle."""
    path = _newest(run, seal, "serving")
    if path is None:
        latency = _time_pool(pool, texts) if pool else None
        result.latency = latency_facts(latency) if latency else {}
        return latency
    scorer = Scorer.load(path)
    asked = next((c.path for c in seal.night.criteria if c.metric is Metric.INFERENCE_MS), "vectors")
    fresh = WARM_UP + (CALLS if asked == "text" else TEXT_CALLS)
    distinct = distinct_texts(texts, CALLS + fresh)
    encoded = [scorer.encode(text) for text in distinct[:CALLS]]
    vectors = time_calls([lambda e=one: scorer.search_encoded(e) for one in encoded], scorer.timed_path)  # type: ignore[misc]
    searching = [lambda t=one: scorer.search(t) for one in distinct[CALLS:]]  # type: ignore[misc]
    text = time_calls(searching, scorer.text_path, WARM_UP)
    result.latency = latency_facts(text) if asked == "text" else latency_facts(vectors, text)
    return text if asked == "text" else vectors


def _pool_recall(pool: PoolIndex, texts: list[str]) -> np.ndarray:
    vectors = pool.encoder.encode_queries(texts[:PROBES])
    found, exact = pool.search_vectors(vectors, K), pool.exact(vectors, K)
    return np.array([len(set(f) & set(e)) / len(set(e)) for f, e in zip(found, exact, strict=True)])


def _time_pool(pool: PoolIndex, texts: list[str]) -> Latency:
    """Return the latency of 1,000 distinct searches: query texts, then pairs of them."""
    calls = [lambda t=text: pool.search([t], K) for text in distinct_texts(texts, CALLS)]
    return time_calls(calls, f"{pool.timed_path}, {pool.size:,} items")  # type: ignore[arg-type]


def _pool_rows(run: RunDir, seal: Seal) -> list[dict[str, JsonValue]]:
    for stage in seal.night.stages:
        try:
            rows: list[dict[str, JsonValue]] = json.loads(
                (run.stage(stage.name).out / "pools.json").read_text()
            )
        except (OSError, ValueError):
            continue
        return rows
    return []
