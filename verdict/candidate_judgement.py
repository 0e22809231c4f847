"""A night that ends in a candidate generator: recall over the whole corpus, the index, its latency."""

import json
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from models.bm25 import BM25
from models.candidates import corpus_of, load_candidates, recall_at_k, relevant_of
from models.dataset import Query
from models.pool import PoolIndex, load_pool
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
from verdict.timing import CALLS, Latency, time_calls

K = 100
PROBES = 200
"""Queries with which the index is compared with exact search."""


def judge_candidates(run: RunDir, seal: Seal, evidence: Evidence) -> Judgement:
    """Return the judgement of the bi-encoder and of the index built on it."""
    result = Judgement()
    if seal.data.kind != "multimodal":
        result.notes.append("Candidates need queries and items in words; this data set has features only.")
        return result
    if evidence.checkpoint is None:
        result.notes.append("No whole checkpoint of this night could be judged.")
        return result
    queries = {
        s: [q for q in load_queries(seal, s) if isinstance(q, Query)] for s in ("train", "val", "test")
    }
    gains = _recall(result, evidence.checkpoint, queries)
    pool = _newest_pool(run, seal)
    latency = _time_pool(pool, [q.text for split in queries.values() for q in split]) if pool else None
    recall = _pool_recall(pool, [q.text for q in queries["test"]]) if pool else None
    result.pools = _pool_rows(run, seal)
    if latency:
        result.latency = {"p50_ms": latency.p50_ms, "p95_ms": latency.p95_ms, "p99_ms": latency.p99_ms}
        result.latency |= {"p95_upper_ms": latency.p95_upper_ms, "calls": latency.calls, "path": latency.path}
    for criterion in seal.night.criteria:
        answer = _answer(criterion, seal, gains, latency, recall)
        if answer is not None:
            result.findings.append(answer)
    return result


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


def _recall(result: Judgement, checkpoint: Path, queries: dict[str, list[Query]]) -> np.ndarray:
    """Return per test query the gain in recall@100 over BM25; fills scores and encoders."""
    encoder = load_candidates(checkpoint)
    result.encoders = {"text": encoder.encoder}
    gains = np.empty(0)
    for split, name in (("val", "validation"), ("test", "test")):
        corpus = corpus_of(queries[split])
        ids = [item.id for item in corpus]
        asked = [query for query in queries[split] if relevant_of(query)]
        vectors = encoder.encode_items(corpus)
        ours = encoder.encode_queries([query.text for query in asked]) @ vectors.T
        plain = BM25([item.text for item in corpus]).scores([query.text for query in asked])
        new = _recalls(ours, ids, asked)
        old = _recalls(np.asarray(plain), ids, asked)
        gains = new - old
        interval = t_interval(gains)
        result.scores[name] = {
            "n": interval.n,
            "corpus": len(ids),
            "recall_at_100": float(new.mean()),
            "recall_at_100_text_search": float(old.mean()),
            "gain": interval.mean,
            "gain_low": interval.low,
            "gain_high": interval.high,
            "left_out": len(queries[split]) - len(asked),
        }
    result.gains = [round(float(gain), 6) for gain in gains]
    return gains


def _recalls(scores: np.ndarray, ids: list[str], queries: list[Query]) -> np.ndarray:
    order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    return np.array(
        [recall_at_k([ids[i] for i in row], relevant_of(q), K) for row, q in zip(order, queries, strict=True)]
    )


def _newest_pool(run: RunDir, seal: Seal) -> PoolIndex | None:
    for stage in reversed(seal.night.stages):
        for path in reversed(whole_checkpoints(run.stage(stage.name).checkpoints)):
            state = read_state(path)
            if state.get("kind") == "pool" and state.get("nonce") == seal.nonce:
                return load_pool(path)
    return None


def _pool_recall(pool: PoolIndex, texts: list[str]) -> np.ndarray:
    vectors = pool.encoder.encode_queries(texts[:PROBES])
    found, exact = pool.search_vectors(vectors, K), pool.exact(vectors, K)
    return np.array([len(set(f) & set(e)) / len(set(e)) for f, e in zip(found, exact, strict=True)])


def _time_pool(pool: PoolIndex, texts: list[str]) -> Latency:
    """Return the latency of 1,000 distinct searches: query texts, then pairs of them."""
    distinct = list(dict.fromkeys(texts))
    pairs = (
        f"{a} {b}"
        for step in range(1, len(distinct))
        for a, b in zip(distinct, distinct[step:], strict=False)
    )
    while len(distinct) < CALLS:
        distinct.append(next(pairs))
    calls = [lambda t=text: pool.search([t], K) for text in distinct[:CALLS]]
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
