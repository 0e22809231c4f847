"""What does being watched cost a training?

`python -m benchmarks.supervision_cost [--pairs 60] [--seconds 2]`. One training (a small network, real steps)
is the trainer of a real night: contract, event file, nightwatch, status, control file. It works in pairs of
spells, in an order drawn anew for each pair: one spell watched, one alone, in which it says and asks nothing
and the nightwatch is stopped (SIGSTOP). A machine that slows down thus slows both of a pair. Throughput is
optimiser steps per second.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.record import keep
from flows.request import request_for
from nightshift.rundir import StageDir
from tasks.launch import new_run, open_night
from tasks.night_line import follow

TRAINER = """
import os, random, signal, sys
import torch
from nightshift.instant import boottime_s
from nightshift.trainer import open_run

pairs, seconds = int(sys.argv[1]), float(sys.argv[2])
torch.set_num_threads(1)
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 1))
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
x, y = torch.randn(4096, 256), torch.randn(4096, 1)
run = open_run()
nightwatch, step = os.getppid(), 0

def train():
    rows = torch.randint(0, 4096, (256,))
    optimizer.zero_grad(set_to_none=True)
    loss = torch.nn.functional.mse_loss(network(x[rows]), y[rows])
    loss.backward()
    optimizer.step()
    return loss

def watched():
    global step
    begin = said = boottime_s()
    first = step
    while boottime_s() - begin < seconds:
        loss = train()
        step += 1
        if boottime_s() - said >= 0.5:
            said = boottime_s()
            run.progress(step, samples=step, total=10**9, share=run.share(step, 10**9))
            run.metrics(step, loss=float(loss.detach()))
        if run.should_stop():
            raise SystemExit("the night ended before the measurement")
    return (step - first) / (boottime_s() - begin)

def alone():
    global step
    os.kill(nightwatch, signal.SIGSTOP)
    begin, first = boottime_s(), step
    while boottime_s() - begin < seconds:
        train()
        step += 1
    rate = (step - first) / (boottime_s() - begin)
    os.kill(nightwatch, signal.SIGCONT)
    return rate

for spell in (watched, alone):
    spell()  # warm
rates = []
for _ in range(pairs):
    order = random.sample([watched, alone], 2)
    pair = {spell.__name__: spell() for spell in order}
    rates.append([pair["alone"], pair["watched"]])
run.write_result("rates", {"rates": rates})
run.save(step, lambda folder: None)
run.finish()
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


def rates(folder: Path, pairs: int, seconds: float) -> np.ndarray:
    """Return (pairs, 2) steps per second, alone and watched, of the trainer of a night at speed 1."""
    (folder / "trainer.py").write_text(TRAINER)
    (folder / "runs").mkdir()
    command = [sys.executable, str(folder / "trainer.py"), str(pairs), str(seconds)]
    plan = folder / "plan.toml"
    plan.write_text(PLAN.format(command=", ".join(json.dumps(word) for word in command)))
    request = request_for("cost", str(plan), None, str(folder / "runs"), 1.0001, "2026-11-25")
    run = new_run(request)
    open_night(request, run)
    for step in ("train", "judge", "hand-over", "report"):
        for _ in follow(run, step):
            pass
    stage: StageDir = run.stage("train")
    return np.array(json.loads((stage.out / "rates.json").read_text())["rates"])


def main() -> None:
    """Alternate, compare, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=2.0)
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as name:
        measured = rates(Path(name), asked.pairs, asked.seconds)
    ratios = np.log(measured[:, 1] / measured[:, 0])
    cost, error = 1 - float(np.exp(np.mean(ratios))), float(np.std(ratios, ddof=1) / np.sqrt(len(ratios)))
    rows: list[dict[str, object]] = [
        {
            "spell": name,
            "steps/s, mean": float(np.mean(measured[:, column])),
            "5th percentile": float(np.percentile(measured[:, column], 5)),
            "95th percentile": float(np.percentile(measured[:, column], 95)),
        }
        for column, name in enumerate(("alone", "watched"))
    ]
    keep(
        "supervision_cost",
        f"Training throughput watched and alone, {asked.pairs} pairs of spells of {asked.seconds:.0f} s",
        rows,
        f"supervision costs {cost:.2%} of training throughput (standard error {error:.2%})",
        ("torch",),
    )


if __name__ == "__main__":
    main()
