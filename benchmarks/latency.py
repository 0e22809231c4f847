"""How long does one request take on one core, and which part of it? The limit is 2 ms at the 95th percentile.

`python -m benchmarks.latency [BUNDLE]`: a `handover/serving` folder; without one, the newest below `runs/`.
1,000 distinct requests per row; the bound is the upper 95 % confidence bound of the 95th percentile. The
transformer row encodes the search with all-MiniLM-L6-v2's architecture (its weights where they are at hand,
random ones otherwise: equally fast).
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import Row, keep
from models.encoders import MODALITIES
from models.pretrained import MINILM, load_text_encoder, text_encoder_source
from models.scorers import Request
from models.serving import DEPTH, EncodedSearch, Scorer
from models.serving_onnx import FILE as ONNX
from verdict.timing import CALLS, distinct_texts, time_calls

LIMIT_MS = 2.0


def transformer() -> tuple[str, Callable[[Sequence[str]], object]]:
    """Return a transformer of MiniLM's size that encodes texts, and what it is."""
    source = text_encoder_source(MINILM)
    if source:
        return "all-MiniLM-L6-v2", load_text_encoder(source, "cpu")
    import torch
    from transformers import BertConfig, BertModel

    shape = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    model = BertModel(shape).eval()

    def encode(texts: Sequence[str]) -> object:
        words = torch.randint(999, 30_000, (len(texts), max(len(text.split()) + 4 for text in texts)))
        with torch.inference_mode():
            return model(input_ids=words)

    return "MiniLM's size, random weights", encode


def onnx_scoring(folder: Path) -> Callable[[Request], NDArray[np.float32]] | None:
    """Return fusion of one request by ONNX Runtime on one core, or None where the bundle has none."""
    if not (folder / ONNX).exists():
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / ONNX), options, providers=["CPUExecutionProvider"])
    read = {one.name for one in session.get_inputs()}

    def score(request: Request) -> NDArray[np.float32]:
        given = {m: request.parts[m] for m in MODALITIES if m in read}
        return np.asarray(session.run(None, {**given, "search": request.query})[0])

    return score


def row(name: str, calls: Sequence[Callable[[], object]]) -> Row:
    """Return the percentiles of these calls."""
    timed = time_calls(calls, name)
    return {
        "path": name,
        "p50 ms": timed.p50_ms,
        "P95 ms": timed.p95_ms,
        "bound of P95": timed.p95_upper_ms,
        "p99 ms": timed.p99_ms,
        "times under 2 ms": LIMIT_MS / timed.p95_upper_ms,
    }


def rows_of(scorer: Scorer, folder: Path, texts: Sequence[str]) -> list[Row]:
    """Return a row per path and per part."""
    searches = [scorer.encode(text) for text in texts[:CALLS]]
    fresh = texts[CALLS:]  # never encoded before
    bare = [EncodedSearch(search.candidates, None) for search in searches]
    rng = np.random.default_rng(1)
    rows = [
        row("search vectors given: index, gather, fusion", [lambda s=s: scorer.search_encoded(s) for s in searches]),
        row("search text given: encoders, then the same", [lambda t=t: scorer.search(t) for t in fresh]),
        row("index alone", [lambda s=s: scorer.search_encoded(s, DEPTH) for s in bare]),
    ]  # fmt: skip
    if scorer.fusion:
        fusion, onnx = scorer.fusion, onnx_scoring(folder)
        pools = [rng.choice(len(scorer.items), DEPTH, replace=False) for _ in searches]
        requests = [
            Request({m: side[pool] for m, side in scorer.sides.items()}, search.fusion)
            for pool, search in zip(pools, searches, strict=True)
        ]
        rows.append(row(f"fusion of {DEPTH}, torch", [lambda r=r: fusion.score(r) for r in requests]))
        if onnx:
            rows.append(row(f"fusion of {DEPTH}, ONNX Runtime", [lambda r=r: onnx(r) for r in requests]))
    name, encode = transformer()
    return [
        *rows,
        row(f"a transformer query encoder alone: {name}", [lambda t=t: encode([t]) for t in fresh]),
    ]


def main(bundle: str | None = None) -> None:
    """Time, print and keep."""
    found = sorted(
        Path("runs").glob("*/*/handover/serving/serving.json"), key=lambda path: path.stat().st_mtime
    )
    if bundle is None and not found:
        raise SystemExit("no bundle below runs/: run `make night` first, or name a handover/serving folder")
    folder = Path(bundle) if bundle else found[-1].parent
    scorer = Scorer.load(folder)
    texts = distinct_texts([item.text for item in scorer.items], 2 * CALLS)
    rows = rows_of(scorer, folder, texts)
    keep(
        "latency",
        f"Milliseconds per request on one core, {CALLS:,} distinct requests, {len(scorer.items):,} items, "
        f"fusion: {scorer.fusion.timed_path if scorer.fusion else 'none'}",
        rows,
        f"with the search's vectors given the bound of P95 is {float(str(rows[0]['times under 2 ms'])):.1f} times "
        f"under {LIMIT_MS:g} ms",
        ("torch", "faiss-cpu", "onnxruntime"),
    )


if __name__ == "__main__":
    main(*sys.argv[1:2])
