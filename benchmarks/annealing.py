"""What does annealing along the clock cost against a schedule that knew the night, when throughput changes?

`python -m benchmarks.annealing [--seeds 10]`. Three small CPU tasks are trained under a virtual clock whose
throughput halves or doubles at 30 % of the night, at a moment no schedule is told:

- oracle: linear decay over the steps that the night really has
- clock: `share = max(time used / budget, work done / work planned)`, as our trainers do; work planned is a cap
- killed cosine: a cosine over the steps planned at the start, cut at the deadline
- constant: the full rate to the end

The peak rate of each task is tuned before, for the oracle in a night without change, on other seeds. The loss is
validation loss after the last step, averaged over seeds; excess is over the oracle's. Where throughput doubles, the
planned cosine ends early and idles.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from benchmarks.record import keep

SAMPLES, HELD = 60_000, 4_000
"""Enough that hardly a sample is seen twice: what is measured is the schedule, not overfitting."""
RATES, TUNED_ON = (1e-3, 3e-3, 1e-2, 3e-2), (100, 101, 102)
PLANNED, CHANGE_AT, BATCH, FLOOR = 3000, 0.3, 32, 0.02
THROUGHPUTS = {"halves": 0.5, "doubles": 2.0}
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Task:
    """A small training task."""

    name: str
    make: Callable[[np.random.Generator], tuple[Tensor, Tensor]]
    loss: Loss
    outputs: int


def _regression(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    x = rng.normal(size=(SAMPLES + HELD, 8))
    teacher = np.random.default_rng(7).normal(size=(8, 3)) / 2
    y = np.tanh(x @ teacher).sum(1, keepdims=True) + 0.5 * rng.normal(size=(SAMPLES + HELD, 1))
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


def _classes(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    centres = np.random.default_rng(8).normal(size=(5, 10)) * 1.2
    labels = rng.integers(0, 5, SAMPLES + HELD)
    x = centres[labels] + rng.normal(size=(SAMPLES + HELD, 10))
    return torch.tensor(x, dtype=torch.float32), torch.tensor(labels)


def _ranking(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Pools of 8 with one best item; the loss is softmax cross-entropy over the pool (ListNet's top one)."""
    x = rng.normal(size=(SAMPLES + HELD, 8, 6))
    weights = np.random.default_rng(9).normal(size=6)
    scores = np.tanh(x @ weights) + 0.3 * rng.normal(size=(SAMPLES + HELD, 8))
    return torch.tensor(x, dtype=torch.float32), torch.tensor(scores.argmax(1))


TASKS = (
    Task("regression", _regression, mse_loss, 1),
    Task("classes", _classes, cross_entropy, 5),
    Task("ranking", _ranking, lambda scores, best: cross_entropy(scores.squeeze(-1), best), 1),
)


def steps_in(factor: float) -> int:
    """Return how many steps the night really has."""
    return int(PLANNED * (CHANGE_AT + (1 - CHANGE_AT) * factor))


def time_at(step: int, factor: float) -> float:
    """Return the used share of the night when this step begins."""
    share = step / PLANNED
    return share if share < CHANGE_AT else CHANGE_AT + (share - CHANGE_AT) / factor


def oracle(step: int, factor: float) -> float | None:
    """Return the factor of the learning rate for a schedule that knows the night."""
    return max(FLOOR, 1 - step / steps_in(factor))


def clock(step: int, factor: float) -> float | None:
    """Return what our trainers do: the plan's work is a cap far above what the night can do."""
    return max(FLOOR, 1 - max(time_at(step, factor), step / (4 * PLANNED)))


def killed_cosine(step: int, factor: float) -> float | None:
    """Return a cosine over the planned steps; None when it is over."""
    return max(FLOOR, 0.5 * (1 + math.cos(math.pi * step / PLANNED))) if step < PLANNED else None


def constant(step: int, factor: float) -> float | None:
    """Return the full rate."""
    return 1.0


SCHEDULES = {"oracle": oracle, "clock": clock, "killed cosine": killed_cosine, "constant": constant}


def tuned_rate(task: Task) -> float:
    """Return the peak rate that suits the oracle best in a night without change."""
    return min(RATES, key=lambda rate: np.mean([trained(task, rate, oracle, 1.0, seed) for seed in TUNED_ON]))


def trained(
    task: Task, peak: float, schedule: Callable[[int, float], float | None], factor: float, seed: int
) -> float:
    """Return the validation loss of one training."""
    torch.manual_seed(seed)
    x, y = task.make(np.random.default_rng(seed))
    train, held = slice(0, SAMPLES), slice(SAMPLES, None)
    width = x.shape[-1]
    network = nn.Sequential(
        nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, task.outputs)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=peak)
    order = torch.Generator().manual_seed(seed)
    for step in range(steps_in(factor)):
        rate = schedule(step, factor)
        if rate is None:
            break
        for group in optimizer.param_groups:
            group["lr"] = peak * rate
        rows = torch.randint(0, SAMPLES, (BATCH,), generator=order)
        optimizer.zero_grad(set_to_none=True)
        task.loss(network(x[train][rows]), y[train][rows]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        return float(task.loss(network(x[held]), y[held]))


def main() -> None:
    """Train, compare, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, object]] = []
    worst = 0.0
    for task in TASKS:
        peak = tuned_rate(task)
        for change, factor in THROUGHPUTS.items():
            losses = {
                name: float(
                    np.mean([trained(task, peak, schedule, factor, seed) for seed in range(asked.seeds)])
                )
                for name, schedule in SCHEDULES.items()
            }
            best = losses["oracle"]
            excess = {name: loss / best - 1 for name, loss in losses.items()}
            worst = max(worst, excess["clock"])
            told = {name: f"{value:+.2%}" for name, value in excess.items() if name != "oracle"}
            rows.append(
                {"task": task.name, "throughput": change, "peak rate": peak, "oracle loss": best, **told}
            )
            print(rows[-1], flush=True)
    keep(
        "annealing",
        f"Excess validation loss over the oracle schedule, throughput changes at 30 % ({asked.seeds} seeds)",
        rows,
        f"annealing along the clock: at most {worst:+.2%} over a schedule that knew the night",
        ("torch",),
    )


if __name__ == "__main__":
    main()
