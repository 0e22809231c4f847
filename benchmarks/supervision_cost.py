"""What does being watched cost a training?

`python -m benchmarks.supervision_cost [--rounds 6] [--seconds 20]`. The same loop (a small network, real steps) runs
in turn alone, and as the trainer of a real night: contract, event file, nightwatch, status, control file. The
rounds alternate, so that a machine that slows down slows both. Throughput is optimiser steps per second.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.record import keep
from flows.request import request_for
from nightshift.checkpoint import read_state, whole_checkpoints
from tasks.launch import new_run, open_night
from tasks.night_line import follow

TRAINER = """
import sys
import torch
from nightshift.instant import boottime_s
from nightshift.trainer import open_run

seconds, watched = float(sys.argv[1]), len(sys.argv) > 2
torch.set_num_threads(1)
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 1))
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
x, y = torch.randn(4096, 256), torch.randn(4096, 1)
run = open_run() if watched else None
begin = said = boottime_s()
step = 0
while boottime_s() - begin < seconds:
    rows = torch.randint(0, 4096, (256,))
    optimizer.zero_grad(set_to_none=True)
    loss = torch.nn.functional.mse_loss(network(x[rows]), y[rows])
    loss.backward()
    optimizer.step()
    step += 1
    if run:
        if boottime_s() - said >= 0.5:
            said = boottime_s()
            run.progress(step, samples=step, total=10**9, share=run.share(step, 10**9))
            run.metrics(step, loss=float(loss.detach()))
        if run.should_stop():
            break
rate = step / (boottime_s() - begin)
if run:
    run.save(step, lambda folder: None, rate=rate)
    run.finish()
else:
    print(rate)
"""
PLAN = """
schema = 1
campaign = "cost"
timezone = "Europe/Berlin"
starts = "23:00"
bedtime_check = "23:45"
hands_over = "07:00"
wind_down_min = 20
seeds = [1]
[[night]]
name = "cost"
title = "Cost"
judge = "none"
[[night.stage]]
name = "train"
title = "Training"
start = "23:00"
end = "07:00"
command = [{command}]
elastic = true
"""


def alone(folder: Path, seconds: float) -> float:
    """Return steps per second without anybody watching."""
    script = [sys.executable, str(folder / "trainer.py"), str(seconds)]
    return float(subprocess.run(script, capture_output=True, text=True, check=True).stdout)


def watched(folder: Path, seconds: float) -> float:
    """Return steps per second as the trainer of a night at speed 1, whose hours are left once it is done."""
    command = [sys.executable, str(folder / "trainer.py"), str(seconds), "watched"]
    plan = folder / "plan.toml"
    plan.write_text(PLAN.format(command=", ".join(json.dumps(word) for word in command)))
    request = request_for("cost", str(plan), None, str(folder / "runs"), 1.0001, "2026-11-25")
    run = new_run(request)
    open_night(request, run)
    for step in ("train", "judge", "hand-over", "report"):
        for _ in follow(run, step):
            pass
    last = whole_checkpoints(run.stage("train").checkpoints)[-1]
    return float(str(read_state(last)["rate"]))


def main() -> None:
    """Alternate, compare, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "trainer.py").write_text(TRAINER)
        (folder / "runs").mkdir()
        for number in range(asked.rounds):
            pair = [alone(folder, asked.seconds), watched(folder, asked.seconds)]
            rows.append(
                {
                    "round": number,
                    "alone steps/s": pair[0],
                    "watched steps/s": pair[1],
                    "cost": f"{1 - pair[1] / pair[0]:.2%}",
                }
            )
            print(rows[-1], flush=True)
    ratios = [float(str(row["watched steps/s"])) / float(str(row["alone steps/s"])) for row in rows]
    mean = 1 - float(np.exp(np.mean(np.log(ratios))))
    spread = float(np.std(np.log(ratios), ddof=1) / np.sqrt(len(ratios))) if len(ratios) > 1 else float("nan")
    keep(
        "supervision_cost",
        f"Training throughput watched against alone, {asked.rounds} rounds of {asked.seconds:.0f} s in turn",
        rows,
        f"supervision costs {mean:.2%} of training throughput (standard error {spread:.2%})",
        ("torch",),
    )


if __name__ == "__main__":
    main()
