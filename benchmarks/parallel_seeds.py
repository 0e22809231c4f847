"""How much sooner do two processes train four seeds of fusion than one, each with one thread?

`python -m benchmarks.parallel_seeds [--rounds 3] [--epochs 8]`. Every round trains the same four seeds in one process,
in two that train one network together (`parallel = "data"`) and in two that train a seed each (`parallel = "seeds"`),
on the built-in catalogue. Counted from the end of loading to `finished`: keeping what the other has trained, too.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.record import keep
from benchmarks.trainers import data_at, finish, inputs_of, start
from models.dataset import DataSource
from nightshift.events import read_events

SEEDS = (11, 12, 13, 14)
WAYS = {"one process": (1, "data"), "one network by two": (2, "data"), "a seed each by two": (2, "seeds")}


def took_s(source: DataSource, folder: Path, processes: int, parallel: str, epochs: int) -> float:
    """Return the seconds from the end of loading to the end of the last training."""
    settings: dict[str, object] = {
        "epochs": epochs, "image_network": False, "text_encoder": "none/none", "designs": ["fusion"],
        "parallel": parallel,
    }  # fmt: skip
    process = start(
        "models.train_fusion", folder, inputs_of(source), settings, seeds=SEEDS, processes=processes
    )
    events = read_events(finish(process, folder).events)[0]
    began = next(event.at for event in events if event.kind == "phase" and event.name == "train")
    ended = next(event.at for event in events if event.kind == "finished")
    return (ended - began).total_seconds()


def main() -> None:
    """Train, time, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as home:
        source = data_at(None, Path(home) / "cache")
        for number in range(asked.rounds):
            times = {
                way: took_s(source, Path(home) / f"{number}-{way}", *how, asked.epochs)
                for way, how in WAYS.items()
            }
            rows.append(
                {"round": number}
                | {f"{way} (s)": seconds for way, seconds in times.items()}
                | {f"{way}: ratio": times["one process"] / times[way] for way in list(WAYS)[1:]}
            )
            print(rows[-1], flush=True)
    ratios = {way: np.mean([float(str(row[f"{way}: ratio"])) for row in rows]) for way in list(WAYS)[1:]}
    keep(
        "parallel_seeds",
        f"Four seeds of fusion, {asked.epochs} epochs each: one process and two, one thread each",
        rows,
        "beside one process: "
        + "; ".join(f"{way} {ratio:.2f} times as fast" for way, ratio in ratios.items()),
        ("torch",),
    )


if __name__ == "__main__":
    main()
