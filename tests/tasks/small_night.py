"""A night small enough for a test: 20 minutes at speed 60, a trainer of a few lines, a data set of six queries."""

import json
import sys
from pathlib import Path

PLAN = """
schema = 1
campaign = "small"
timezone = "Europe/Berlin"
starts = "23:00"
bedtime_check = "23:05"
hands_over = "23:20"
wind_down_min = 5
seeds = [1]

[[night]]
name = "small"
title = "Small night"
judge = "none"
[[night.stage]]
name = "work"
title = "Small work"
start = "23:00"
end = "23:20"
command = [{command}]
elastic = true
minimum_min = 1
"""

SHELL_TRAINER = r"""#!/bin/sh
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }
say() { printf '{"at":"%s",%s}\n' "$(now)" "$1" >> "$NIGHT_RUN_DIR/events.jsonl"; }
trap 'say "\"kind\":\"finished\",\"reason\":\"asked to stop\""; exit 0' TERM
say '"kind":"started"'
for step in 1 2 3; do
  sleep 0.2
  say "\"kind\":\"progress\",\"step\":$step,\"samples\":$step,\"total\":3,\"share\":0.3"
  say "\"kind\":\"metrics\",\"step\":$step,\"values\":{\"loss\":0.$((9 - step))}"
done
say '"kind":"finished","reason":"done"'
"""

COUNTING_TRAINER = """
import sys, threading
from nightshift.checkpoint import read_state
from nightshift.trainer import open_run

run = open_run()
first = int(read_state(run.resume)["step"]) if run.resume else 0
total = int(sys.argv[1])
for step in range(first + 1, total + 1):
    threading.Event().wait(0.1)
    run.progress(step, samples=step, total=total, share=run.share(step, total))
    run.metrics(step, loss=1.0 / step)
    if step % 5 == 0:
        run.save(step, lambda folder: (folder / "count.txt").write_text(str(step)), kind="counting")
    if run.should_stop(0.3):
        break
run.save(step, lambda folder: (folder / "count.txt").write_text(str(step)), kind="counting")
run.finish()
"""


def make_data(folder: Path) -> Path:
    """Return a folder with a data set of two queries per split."""
    folder.mkdir()
    for split in ("train", "val", "test"):
        lines = []
        for number in range(2):
            candidates = [
                {
                    "id": f"{split}{number}{i}",
                    "image": None,
                    "text": f"item {i}",
                    "relevance": i,
                    "score_v1": 0.1 * i,
                }
                for i in range(3)
            ]
            record = {"query_id": f"{split}-{number}", "query": f"find {number}", "candidates": candidates}
            lines.append(json.dumps(record))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def make_plan(folder: Path, *command: str, text: str = PLAN) -> Path:
    """Return a plan file whose one stage runs this command."""
    path = folder / "plan.toml"
    path.write_text(text.format(command=", ".join(json.dumps(word) for word in command)))
    return path


def counting_plan(folder: Path, steps: int) -> Path:
    """Return a plan that counts, a tenth of a second a step."""
    (folder / "count.py").write_text(COUNTING_TRAINER)
    return make_plan(folder, sys.executable, "count.py", str(steps))


def shell_plan(folder: Path) -> Path:
    """Return a plan whose trainer is twelve lines of shell."""
    (folder / "trainer.sh").write_text(SHELL_TRAINER)
    return make_plan(folder, "sh", "trainer.sh")
