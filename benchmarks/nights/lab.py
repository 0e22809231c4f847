"""One real night on a small catalogue with known truth: launched, trained, judged, handed over."""

import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flows.request import request_for
from models.data_catalogue import generate
from nightshift.rundir import RunDir
from tasks.launch import new_run, open_night
from tasks.night_line import follow
from verdict.finding import Verdict
from verdict.judge import judge_run
from verdict.scorebook import ScoreBook
from verdict.scored import ScoredSplit
from verdict.seal import Seal, read_seal

QUERIES, FEW = 500, 120
BLUR = 0.3
SHORT_S, LONG_S = 6.0, 13.0
"""Real seconds for one judgement: in the short time no modality is permuted, in the long one all are."""
SPEED, DAY = 60.0, "2026-03-26"
Record = dict[str, object]
PLAN = """
schema = 1
campaign = "planted"
timezone = "Europe/Berlin"
starts = "23:00"
bedtime_check = "23:10"
hands_over = "{end}"
wind_down_min = 5
seeds = [{seed}, {second}, {third}]

[[night]]
name = "planted"
title = "Planted night"
judge = "ranking"
claims = ["image", "text", "attributes"]
[[night.stage]]
name = "train"
title = "Training"
start = "23:00"
end = "{middle}"
command = ["{{python}}", "-m", "models.train_fusion"]
elastic = true
minimum_min = 1
settings = {{ epochs = 4, designs = ["late"], one_seed = true, image_network = false, learning_rate = 1e-3 }}
[[night.stage]]
name = "evaluate"
title = "Evaluation"
start = "{middle}"
end = "{end}"
command = ["{{python}}", "-m", "models.evaluate_fusion"]
minimum_min = 1
[[night.criterion]]
metric = "validation_ndcg"
required = true
above = 0.03
target = 0.05
[[night.criterion]]
metric = "inference_ms"
required = true
below = 2.0
[[night.criterion]]
metric = "compliance_at_1"
kept_within = 0.02
[[night.criterion]]
metric = "training_loss"
below = 0.1
[[night.criterion]]
metric = "gpu_utilisation_pct"
above = 80
"""


def write_plan(folder: Path, seed: int) -> Path:
    """Return the plan file of one seed: three compressed hours, of which two minutes train."""
    path = folder / "plan.toml"
    middle, end = "01:00", "02:00"
    path.write_text(PLAN.format(seed=seed, second=seed + 1, third=seed + 2, middle=middle, end=end))
    return path


def real_night(folder: Path, seed: int, queries: int = QUERIES) -> RunDir:
    """Return a night that really took place in this new folder: its own data, nightwatch, trainers, judge."""
    data = folder / "data"
    generate(data, queries, seed)
    blur_labels(data, seed)
    home = folder / "runs"
    home.mkdir(parents=True)
    request = request_for("planted", str(write_plan(folder, seed)), str(data), str(home), SPEED, DAY)
    run = new_run(request)
    open_night(request, run)
    for step in ("train", "evaluate", "judge", "hand-over", "report"):
        for _ in follow(run, step):
            pass
    return run


def blur_labels(data: Path, seed: int) -> None:
    """Draw three labels in ten anew, so that a perfect model has room left above V1.0 and below 1."""
    rng = np.random.default_rng([seed, 3])
    for path in sorted(data.glob("*.jsonl")):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        for record in records:
            for item in record["candidates"]:
                if rng.random() < BLUR:
                    item["relevance"] = int(rng.integers(0, 4))
        path.write_text("".join(json.dumps(record) + "\n" for record in records))


@dataclass
class Lab:
    """A real night, and a place for spoiled copies of it."""

    night: RunDir
    folder: Path
    seed: int
    book: ScoreBook = field(default_factory=ScoreBook)

    @property
    def seal(self) -> Seal:
        """The real night's seal."""
        return read_seal(self.night)

    @property
    def rng(self) -> np.random.Generator:
        """Fresh random numbers of this seed."""
        return np.random.default_rng(self.seed)

    def copy(self, name: str, of: RunDir | None = None) -> RunDir:
        """Return a copy of the night, or of another copy, that shares its bytes until they are replaced."""
        target = self.folder / name / "run"
        shutil.rmtree(target.parent, ignore_errors=True)
        ignored = shutil.ignore_patterns("*.sock", "handover", "judge")
        shutil.copytree((of or self.night).path, target, copy_function=os.link, ignore=ignored)
        return RunDir(target)

    def scored(self, run: RunDir, split: str = "test") -> ScoredSplit:
        """Return a split of this copy as the judged checkpoint scores it."""
        checkpoint = self.night.path / str(self.judged.checkpoint)
        return self.book.split(read_seal(run), checkpoint, split)

    @property
    def judged(self) -> Verdict:
        """The real night's verdict."""
        return self.book.once("judged", lambda: self.judge(self.night))

    def judge(self, run: RunDir, within_s: float = SHORT_S) -> Verdict:
        """Return the verdict on a copy; what was computed of the same content is not computed again."""
        return judge_run(run, within_s, self.book)


if __name__ == "__main__":
    print(real_night(Path(sys.argv[1]), int(sys.argv[2])).path)
