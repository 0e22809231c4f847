"""`nightshift new NIGHT`: a plan with one night in it, and a trainer that runs as it stands."""

from pathlib import Path
from string import Template

from nightshift.checkpoint import write_atomically
from nightshift.states import NightError
from schedules.plan import NAME

PLAN = Template("""# nightshift rehearse $name --plan $plan          # the whole night, compressed
# nightshift plan $plan                            # dates and times
# Every key: docs/plan.md. Copy the [[night]] block for a further night.
schema = 1
campaign = "$name"
timezone = "local"
starts = "23:00"
bedtime_check = "23:45"
hands_over = "07:00"
wind_down_min = 30
seeds = [11, 12, 13]

[[night]]
name = "$name"
title = "$title"
judge = "ranking"            # judges models it can load, or scores (nightshift.given_scores); "none" judges nothing
[[night.stage]]
name = "train"
title = "Training"
start = "23:00"
end = "07:00"
elastic = true
command = ["{python}", "$trainer"]
[[night.criterion]]
metric = "validation_ndcg"   # gain in nDCG@10 over the data's own score, on a test split that no trainer can read
above = 0.03
target = 0.05
required = true
""")

TRAINER = Template('''"""Trainer of the night $name. `python $trainer` runs it alone, too, writing to ./nightshift-run/.

Replace the three marked places; everything else is what a night asks of a trainer.
"""

import json
import random

from nightshift.checkpoint import read_state
from nightshift.given_scores import save_scores
from nightshift.trainer import open_run

EPOCHS = 20
SAVING_TAKES_S = 2.0

run = open_run()
run.phase("load")


def pools(name):
    """Return the queries of a split: `train` and `val` with labels, `test_unlabelled` without."""
    if name not in run.inputs:
        return []
    with open(run.inputs[name]) as file:
        return [json.loads(line) for line in file]


train, val, test = pools("train"), pools("val"), pools("test_unlabelled")
weight = random.Random(run.seed).random()                   # 1. your model
first = 0
if run.resume:
    state = read_state(run.resume)
    first, weight = int(state["epoch"]) + 1, float(state["weight"])


def scores_of(queries):
    """Return one score per candidate and query; larger ranks higher."""
    return {                                                 # 2. your scores
        query["query_id"]: [weight * (c.get("score_v1") or 0.0) for c in query["candidates"]] for query in queries
    }


run.phase("train")
for epoch in range(first, EPOCHS):
    share = run.share(epoch, EPOCHS)                         # 0..1: anneal the learning rate along it
    weight *= 1 - 0.1 * (1 - share) * run.lr_factor          # 3. your epoch
    loss = abs(weight)
    run.progress(epoch, samples=epoch + 1, total=EPOCHS, share=share)
    run.metrics(epoch, loss=loss)
    save_scores(
        run, epoch, {"val": scores_of(val), "test": scores_of(test)},
        selection_score=-loss, epoch=epoch, weight=weight, seed=run.seed,
    )
    if run.should_stop(SAVING_TAKES_S):
        break
run.finish()
''')


def new_night(name: str, folder: Path) -> tuple[Path, Path]:
    """Return the plan and the trainer that were written into this folder.

    Raises NightError where the name is none, or a file of that name is there already.
    """
    if not NAME.fullmatch(name):
        raise NightError(f"{name!r} is not a name: small letters, digits and '-', a letter first")
    plan, trainer = folder / f"{name}.toml", folder / f"train_{name.replace('-', '_')}.py"
    for path in (plan, trainer):
        if path.exists():
            raise NightError(f"{path}: is there already; choose another name, or move it away")
    words = {
        "name": name,
        "title": name.replace("-", " ").capitalize(),
        "plan": plan.name,
        "trainer": trainer.name,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(plan, PLAN.substitute(words))
    write_atomically(trainer, TRAINER.substitute(words))
    return plan, trainer
