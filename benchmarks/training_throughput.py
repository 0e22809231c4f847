"""How many times faster is fusion training than the mission's loop, repaired only as far as it must be to run?

`python -m benchmarks.training_throughput [--queries N] [--device cuda] [--precision bf16]`. Real-size
encoders with random weights. Throughput is in training pairs per second; ours includes filling the cache
and all 20 epochs, the mission's is measured over one whole epoch (its epochs are alike). Both take equally
many optimiser steps with the same optimiser, and both losses are first shown to be equal on the same pairs.
The ratio with trained encoders (end to end, one epoch of one query each) stands beside it. On a CPU the
configuration is small: few queries, and it says so.
"""

import argparse
from contextlib import AbstractContextManager, nullcontext

import torch

from benchmarks.mission_loop import (
    CANDIDATES,
    RATE,
    Night1,
    Raw,
    fill_cache,
    made_up,
    mission_epoch,
    pair_loss,
    pairs_of,
    pool_epoch,
    pool_loss,
)
from benchmarks.record import Row, keep, seconds

EPOCHS = 20
GFLOP_ENCODED, GFLOP_HEAD = 8.82 + 0.69, 0.0055
"""Forward, per candidate: ViT-B/32 and MiniLM-L6 at 32 tokens; the fusion ranker."""
SAME = 1e-5


def gemm_gflops(device: str) -> float:
    """Return the rate of a large matrix product here, in GFLOP/s: the ceiling that MFU refers to."""
    size = 8192 if device == "cuda" else 2048
    left, right = (torch.randn(size, size, device=device) for _ in range(2))

    def work() -> None:
        for _ in range(5):
            left @ right
        _wait(device)

    work()
    return 5 * 2 * size**3 / seconds(work) / 1e9


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def loss_difference(raw: Raw) -> float:
    """Return how far the two losses are apart on the same pairs and weights."""
    net = Night1(frozen=True).to(raw.words.device).eval()
    pairs = pairs_of(1).to(raw.words.device)
    with torch.inference_mode():
        one = torch.arange(1, device=raw.words.device)
        rows = torch.arange(CANDIDATES, device=raw.words.device)
        pooled = pool_loss(net, net.encode(raw, rows), raw, one)
        return abs(float(pair_loss(net, raw, pairs)) - float(pooled))


def mission_pairs_per_s(raw: Raw, frozen: bool, device: str) -> float:
    """Return the mission's training pairs per second, over one epoch."""
    net = Night1(frozen).to(device).train()
    optimizer = torch.optim.AdamW(net.trained(), lr=RATE, fused=True)
    pair_loss(net, raw, pairs_of(1)[:2].to(device)).backward()  # warm-up

    def work() -> None:
        for _ in mission_epoch(net, raw, optimizer):
            pass
        _wait(device)

    return len(pairs_of(raw.queries)) / seconds(work)


def our_pairs_per_s(raw: Raw, frozen: bool, device: str, epochs: int) -> float:
    """Return our training pairs per second over all epochs, the cache's filling included."""
    net = Night1(frozen).to(device).train()
    optimizer = torch.optim.AdamW(net.trained(), lr=RATE, fused=True)
    every = torch.arange(len(raw.words), device=device)
    pair_loss(net, raw, pairs_of(1)[:2].to(device)).backward()  # warm-up

    def work() -> None:
        cached = fill_cache(net.eval(), raw) if frozen else None
        net.train()
        for _ in range(epochs):
            pool_epoch(net, raw, optimizer, lambda: cached or net.encode(raw, every))
        _wait(device)

    return epochs * len(pairs_of(raw.queries)) / seconds(work)


def _precision(name: str, device: str) -> AbstractContextManager[object]:
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(device, dtype=kinds[name]) if name in kinds else nullcontext()


def _row(name: str, rate: float, gflop_per_pair: float, ceiling: float) -> Row:
    return {"loop": name, "pairs/s": rate, "MFU": rate * gflop_per_pair / ceiling}


def main() -> None:
    """Print and keep both throughputs and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--queries", type=int, default=0, help="0: 4 on a CPU, 64 on a GPU")
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="fp32")
    asked = parser.parse_args()
    device: str = asked.device
    raw = made_up(asked.queries or (64 if device == "cuda" else 4), device)
    one = Raw(raw.pixels[:CANDIDATES], raw.words[:CANDIDATES], raw.attributes[:CANDIDATES], raw.search_QW[:1])
    apart = loss_difference(one)
    if apart > SAME:
        raise SystemExit(f"the two losses differ by {apart:.2g}: nothing may be compared")
    with _precision(asked.precision, device):
        ceiling = gemm_gflops(device)
        theirs, ours = mission_pairs_per_s(raw, True, device), our_pairs_per_s(raw, True, device, EPOCHS)
        their_end, our_end = (mission_pairs_per_s(one, False, device), our_pairs_per_s(one, False, device, 1))
    per_pair = CANDIDATES / len(pairs_of(1))
    rows = [
        _row("mission, frozen encoders", theirs, 2 * (GFLOP_ENCODED + 3 * GFLOP_HEAD), ceiling),
        _row("Nightshift, cached", ours, per_pair * (GFLOP_ENCODED / EPOCHS + 3 * GFLOP_HEAD), ceiling),
        _row("mission, end to end", their_end, 2 * 3 * GFLOP_ENCODED, ceiling),
        _row("Nightshift, end to end", our_end, per_pair * 3 * GFLOP_ENCODED, ceiling),
    ]
    size = "a small configuration, there is no GPU: " if device == "cpu" else ""
    keep(
        "training_throughput",
        f"Training pairs per second, {size}{raw.queries} queries x {CANDIDATES} distinct candidates, {EPOCHS} epochs, "
        f"real-size encoders, {asked.precision} on {device}",
        rows,
        f"{ours / theirs:.0f} times the mission's loop with frozen encoders, cache filling included; "
        f"{our_end / their_end:.1f} times with trained encoders; losses differ by {apart:.1e}; "
        f"the largest matrix product here runs at {ceiling:.0f} GFLOP/s",
        ("torch", "transformers"),
    )


if __name__ == "__main__":
    main()
