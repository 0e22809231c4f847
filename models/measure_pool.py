"""The pool test (`python -m models.measure_pool`): recall and latency of each index, pool by pool."""

import json
import sys
from dataclasses import dataclass, field
from typing import NamedTuple

import faiss

from models.candidates import CandidateEncoder, corpus_of, load_candidates
from models.data import load_split
from models.pool import BACKEND, K, PoolIndex, build, efforts, least_effort, set_effort
from models.pool_plan import PoolRow, predicted_bytes, predicted_seconds, vectors_fit, why_skip
from models.pool_shards import WORTH_SHARDS, exact_by_shards
from models.pool_vectors import Floats, Ids, Pool
from models.serving_build import save_serving, serving_saved
from models.settings import PoolSettings, read_settings
from models.stage_best import best_checkpoint
from nightshift.checkpoint import write_atomically
from nightshift.instant import boottime_s
from nightshift.states import NightError
from nightshift.trainer import TrainerRun, open_run

INDEXES = ("IVF,SQ8", "HNSW", "Flat")
"""In order of value: exact search, the truth of them all, is made without the Flat index; that one is only timed."""
RESERVE_S = 2.0
KEEP_AT_MOST = 100_000
"""Largest pool whose index goes into the hand-over."""


class Serving(NamedTuple):
    """An index that reaches the recall target."""

    p95_ms: float
    recall_at_100: float
    pool: PoolIndex
    effort: int


@dataclass
class PoolTest:
    """The test as far as it is."""

    run: TrainerRun
    settings: PoolSettings
    encoder: CandidateEncoder
    real: Floats
    queries: Floats
    rows: list[PoolRow] = field(default_factory=list)

    def restore(self) -> None:
        """Take over the points that an attempt before this one has finished."""
        path = self.run.folder.out / "pools.json"
        if path.exists():
            self.rows = [
                PoolRow(**record) for record in json.loads(path.read_text()) if not record["skipped"]
            ]

    def known(self, size: int, name: str) -> bool:
        """Return whether this point is finished."""
        return any(row.size == size and row.index == name for row in self.rows)

    def add(self, row: PoolRow) -> None:
        """Keep one point on disk, and tell it."""
        self.rows.append(row)
        records = [known.record() for known in self.rows]
        write_atomically(self.run.folder.out / "pools.json", json.dumps(records, indent=1))
        done, total = len(self.rows), len(self.settings.pools) * len(INDEXES)
        self.run.progress(done, samples=done, total=total, share=self.run.share(done, total))
        if not row.skipped:
            name = row.index.replace(",", "_").lower()
            self.run.metrics(
                done, **{f"{name}_recall_at_100": row.recall_at_100, f"{name}_p95_ms": row.p95_ms}
            )
        print(row.record(), flush=True)

    def measure_size(self, size: int) -> None:
        """Measure every index over one pool, and save the best serving index of it."""
        self.run.phase("load")
        if all(self.known(size, name) for name in INDEXES):
            return
        pool = Pool(self.real, size, self.run.seed)
        if vectors_fit(size, pool.width):
            pool = pool.in_memory()
        exact: Ids | None = None
        serving: list[Serving] = []
        for name in INDEXES:
            if self.run.should_stop(RESERVE_S):
                break
            if self.known(size, name) and size > KEEP_AT_MOST:
                continue
            needed = predicted_bytes(name, size, pool.width), predicted_seconds(name, size, self.rows)
            skipped = why_skip(*needed, self.run.seconds_left() - RESERVE_S)
            if skipped:
                self.add(_skipped(size, name, pool.jittered_share, *needed, skipped))
                continue
            if exact is None:
                self.run.phase("evaluate")
                exact = self._exact(pool, min(K, size))
            measured = self._measure(name, pool, needed, exact)
            if measured is None:
                why = "the time was over before it was built"
                self.add(_skipped(size, name, pool.jittered_share, *needed, why))
                break
            row, index, effort = measured
            if not self.known(size, name):
                self.add(row)
            if row.meets_recall_target and pool.held is not None and size <= KEEP_AT_MOST:
                found = PoolIndex(self.encoder, index, pool.held, name)
                serving.append(Serving(row.p95_ms, row.recall_at_100, found, effort))
            del index  # before the next one is built: large pools need the memory
        self._save_serving(size, serving)

    def _exact(self, pool: Pool, k: int) -> Ids:
        if self.settings.shards > 1 and pool.size >= WORTH_SHARDS:
            return exact_by_shards(self.run, pool, self.queries, k, self.settings)
        return pool.exact(self.queries, k)

    def _measure(
        self, name: str, pool: Pool, needed: tuple[float, float], exact: Ids
    ) -> tuple[PoolRow, faiss.Index, int] | None:
        """Return one point, its index and its effort; the points beside it stand in the row's curve.

        None where the time was over while it was built.
        """
        self.run.phase("train")
        begin = boottime_s()
        index = build(name, pool, lambda: self.run.should_stop(RESERVE_S))
        if index is None:
            return None
        build_s = boottime_s() - begin
        self.run.phase("evaluate")
        target = self.settings.recall_target
        points = efforts(name, index, self.queries, exact, target, lambda: self.run.should_stop(RESERVE_S))
        chosen = least_effort(points, target)
        set_effort(name, index, chosen.effort)
        row = PoolRow(
            size=pool.size,
            index=name,
            recall_at_100=chosen.recall_at_100,
            p50_ms=chosen.p50_ms,
            p95_ms=chosen.p95_ms,
            p99_ms=chosen.p99_ms,
            bytes_per_vector=needed[0] / pool.size,
            build_s=build_s,
            jittered_share=pool.jittered_share,
            parameters=chosen.words,
            backend=BACKEND,
            meets_recall_target=chosen.recall_at_100 >= target,
            queries=len(self.queries),
            predicted_bytes=needed[0],
            predicted_s=needed[1],
            measured_s=boottime_s() - begin,
            curve=tuple((p.words, round(p.recall_at_100, 5), round(p.p95_ms, 4)) for p in points),
        )
        return row, index, chosen.effort

    def _save_serving(self, size: int, serving: list[Serving]) -> None:
        if not serving or size > KEEP_AT_MOST:
            return
        _, reached, pool, effort = min(serving, key=lambda found: found.p95_ms)
        self.run.phase("checkpoint")
        self.run.save(
            len(self.rows) + 1,
            lambda folder: pool.save(folder, effort),
            kind="pool",
            selection_score=reached,
            size=size,
            index=pool.name,
            encoders={"text": self.encoder.encoder},
        )


def _skipped(
    size: int, name: str, jittered: float, expected_bytes: float, expected_s: float, why: str
) -> PoolRow:
    return PoolRow(
        size, name, 0, 0, 0, 0, 0, 0, jittered, "", BACKEND, False, 0, expected_bytes, expected_s, (), why
    )


def measure(run: TrainerRun, settings: PoolSettings) -> None:
    """Measure pool after pool until the next one does not fit."""
    run.phase("load")
    encoder = load_candidates(best_checkpoint(run.inputs["stage.candidates"]), run.device)
    images = run.inputs.get("images")
    train, val = load_split(run.inputs["train"], images), load_split(run.inputs["val"], images)
    if not serving_saved(run):
        save_serving(run, encoder, corpus_of([*train, *val]))
    real = encoder.encode_items(corpus_of([*train, *val]))
    texts = list(dict.fromkeys(query.text for query in [*val, *train]))[: settings.queries]
    test = PoolTest(run, settings, encoder, real, encoder.encode_queries(texts))
    test.restore()
    for size in sorted(settings.pools):
        if run.should_stop(RESERVE_S):
            break
        test.measure_size(size)


def main() -> int:
    """Return the exit code of this trainer."""
    run = open_run()
    try:
        measure(run, read_settings(PoolSettings, run.inputs.get("settings")))
    except NightError as error:
        print(f"measure_pool: {error}", file=sys.stderr)
        return 2
    run.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
