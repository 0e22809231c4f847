"""Recall@100 against latency from 1e4 items to as many as memory and time allow; hnswlib and usearch beside.

`python -m benchmarks.pool_curves [--data DATA] [--largest 10000000] [--minutes 45] [--width 128]`. The
vectors are those of a bi-encoder trained on the data's train split first; beyond the real items the pools
are filled with jittered copies, and say so. Ours are the very trainers of night 3. hnswlib and usearch get
the same vectors and links, and as much effort as the same recall target needs, one thread, one query at a time.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.record import RESULTS, Row, keep, seconds
from benchmarks.trainers import data_at, finish, inputs_of, start
from models.candidates import CandidateEncoder, corpus_of, load_candidates
from models.data import load_split
from models.dataset import DataSource
from models.pool import EF, HNSW_LINKS, latencies_ms, recall
from models.pool_vectors import Floats, Ids, Pool
from models.stage_best import best_checkpoint
from tasks.report_pools import LATENCIES, pool_plot, pool_points
from tasks.report_tradeoff import LIMIT_MS, leaves_note, tradeoff_plot, tradeoffs

K, QUERIES, TARGET, BUILD_EFFORT = 100, 200, 0.95, 40
PEERS_UP_TO = 1_000_000
Searching = Callable[[int], Callable[[Floats], Ids]]
"""Effort -> a search."""


def hnswlib_index(vectors: Floats) -> Searching:
    """Return hnswlib's index of these vectors."""
    import hnswlib

    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=HNSW_LINKS, ef_construction=BUILD_EFFORT, random_seed=1)
    index.add_items(vectors, num_threads=-1)
    index.set_num_threads(1)

    def with_effort(effort: int) -> Callable[[Floats], Ids]:
        index.set_ef(effort)
        return lambda queries: np.asarray(index.knn_query(queries, k=K)[0], dtype=np.int64)

    return with_effort


def filled(found: Ids) -> Ids:
    """Return K positions, -1 where fewer were found."""
    return np.pad(np.asarray(found, dtype=np.int64), (0, K - len(found)), constant_values=-1)


def usearch_index(vectors: Floats) -> Searching:
    """Return usearch's index of these vectors, in the same precision."""
    from usearch.index import Index

    index = Index(
        ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=HNSW_LINKS, expansion_add=BUILD_EFFORT
    )
    index.add(np.arange(len(vectors)), vectors)

    def with_effort(effort: int) -> Callable[[Floats], Ids]:
        index.expansion_search = effort
        return lambda queries: np.stack([filled(index.search(q, K, threads=1).keys) for q in queries])

    return with_effort


PEERS: Mapping[str, Callable[[Floats], Searching]] = {"hnswlib": hnswlib_index, "usearch": usearch_index}


def peer_row(name: str, pool: Pool, queries: Floats, exact: Ids) -> dict[str, object]:
    """Return one peer's point at the recall target, and the points on the way."""
    assert pool.held is not None
    held, made = pool.held, []
    build_s = seconds(lambda: made.append(PEERS[name](held)))
    curve: list[tuple[str, float, float]] = []
    for effort in EF:
        search = made[0](effort)
        try:
            reached = recall(search(queries), exact)
        except RuntimeError:  # hnswlib refuses to answer where it finds fewer than K
            continue
        taken = latencies_ms(search, queries)
        curve.append((f"ef={effort}", reached, float(np.percentile(taken, 95))))
        if reached >= TARGET:
            break
    if not curve:
        return {"size": pool.size, "index": name, "jittered_share": pool.jittered_share,
                "skipped": "it never found 100 items"}  # fmt: skip
    words, reached, p95_ms = curve[-1]
    return {
        "size": pool.size, "index": name, "recall_at_100": reached, "p95_ms": p95_ms, "build_s": build_s,
        "parameters": words, "jittered_share": pool.jittered_share, "curve": curve,
    }  # fmt: skip


def our_rows(source: DataSource, folder: Path, width: int, sizes: Sequence[int], minutes: float) -> tuple[
    CandidateEncoder, list[dict[str, object]]
]:  # fmt: skip
    """Return the trained encoder, and night 3's own table of pools."""
    trained, pools = folder / "candidates", folder / "pools"
    finish(start("models.train_candidates", trained, inputs_of(source), {"width": width}), trained)
    settings = {"pools": list(sizes), "recall_target": TARGET, "queries": QUERIES}
    inputs = inputs_of(source, candidates=trained)
    finish(start("models.measure_pool", pools, inputs, settings, within_s=60 * minutes), pools)
    rows = json.loads((pools / "out" / "pools.json").read_text())
    return load_candidates(best_checkpoint(trained)), rows


def draw(rows: Sequence[Mapping[str, object]]) -> None:
    """Write the plots as one page that needs nothing else."""
    rows = json.loads(json.dumps(rows))
    points = pool_points(rows, LATENCIES)
    plots = {"P95 latency in ms, by pool size": pool_plot("p95", "P95 latency", points, " ms")}
    for size, (curves, copies) in sorted(tradeoffs(rows).items()):
        caption = f"Recall@100 by P95 latency, {size:,} items (line: {LIMIT_MS:g} ms)"
        plots[caption] = tradeoff_plot(f"trade-{size}", f"{size:,} items", curves, copies)
    figures = "".join(f"<figure><figcaption>{name}</figcaption>{svg}</figure>" for name, svg in plots.items())
    style = (Path(__file__).parent.parent / "tasks" / "templates" / "report.css.j2").read_text()
    note = "Hollow marks: beyond the real items the pool is filled with jittered copies."
    head = "<!doctype html><html lang=en class=word-go><meta charset=utf-8><title>Pools</title>"
    page = f"{head}<style>{style}</style><main><p>{note}</p><div class=pair>{figures}</div></main>"
    (RESULTS / "pool_curves.html").write_text(f"{page}\n")


def shown(row: Mapping[str, object]) -> Row:
    """Return what the printed table has of a point."""
    if row.get("skipped"):
        return {"size": row["size"], "index": row["index"], "recall@100": "", "P95 ms": "", "build s": "",
                "effort": f"not measured: {row['skipped']}", "copies": row["jittered_share"]}  # fmt: skip
    return {"size": row["size"], "index": row["index"], "recall@100": row["recall_at_100"],
            "P95 ms": row["p95_ms"], "build s": row["build_s"], "effort": row["parameters"],
            "copies": row["jittered_share"]}  # fmt: skip


def main() -> None:
    """Measure, print, draw and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--largest", type=float, default=1e7)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--width", type=int, default=128)
    asked = parser.parse_args()
    sizes = [size for size in (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000) if size <= asked.largest]
    with tempfile.TemporaryDirectory() as folder:
        source = data_at(asked.data, Path(folder) / "data")
        encoder, rows = our_rows(source, Path(folder), asked.width, sizes, asked.minutes)
        splits = [load_split(source.splits[name], source.images) for name in ("train", "val")]
    real = encoder.encode_items(corpus_of([*splits[0], *splits[1]]))
    texts = list(dict.fromkeys(query.text for query in [*splits[1], *splits[0]]))[:QUERIES]
    queries = encoder.encode_queries(texts)
    draw(rows)  # what is measured is kept, whatever becomes of the peers
    (RESULTS / "pool_curves.rows.json").write_text(json.dumps(rows, indent=1) + "\n")
    for size in (size for size in sizes if size <= PEERS_UP_TO):
        pool = Pool(real, size, 11).in_memory()
        exact = pool.exact(queries, K)
        rows += [peer_row(name, pool, queries, exact) for name in PEERS]
    rows.sort(key=lambda row: (row["size"], str(row["index"])))
    draw(rows)
    keep(
        "pool_curves",
        f"Recall@100 and P95 per index over {len(real):,} real items and jittered copies, {asked.width} dimensions, "
        f"{len(queries)} real searches, target {TARGET}, one thread",
        [shown(row) for row in rows],
        f"{leaves_note(rows)} {_against_peers(rows)}",
        ("faiss-cpu", "hnswlib", "usearch"),
    )


def _against_peers(rows: Sequence[Mapping[str, object]]) -> str:
    """Return how our fastest index compares with each peer where both reach the target, largest common pool."""
    said = []
    for peer in PEERS:
        theirs = {r["size"]: r for r in rows if r["index"] == peer and _reaches(r)}
        ours = [r for r in rows if r["size"] in theirs and r["index"] in ("IVF,SQ8", "HNSW") and _reaches(r)]
        if ours:
            size = max(int(str(r["size"])) for r in ours)
            best = min((r for r in ours if r["size"] == size), key=lambda r: float(str(r["p95_ms"])))
            ratio = float(str(theirs[size]["p95_ms"])) / float(str(best["p95_ms"]))
            said.append(f"{peer}'s P95 is {ratio:.1f} times that of our {best['index']} at {size:,}")
    return "; ".join(said) + "." if said else "No peer reached the target beside us."


def _reaches(row: Mapping[str, object]) -> bool:
    return not row.get("skipped") and float(str(row["recall_at_100"])) >= TARGET


if __name__ == "__main__":
    main()
