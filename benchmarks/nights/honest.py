"""Honest nights, and the honest twins of the planted ones: none of them may be flagged."""

import json
from functools import partial

from benchmarks.nights.baseline import baseline_with_gain
from benchmarks.nights.case import GAIN, GO, NO_GAIN, Case
from benchmarks.nights.edits import each_item, read_split, small, with_data, with_v1, without
from benchmarks.nights.lab import Lab, Record
from benchmarks.nights.planted_work import counted, edit_events, edit_weights
from nightshift.checkpoint import write_atomically
from nightshift.rundir import RunDir
from verdict.forge import rewrite
from verdict.seal import read_seal


def with_gain(gain: float, lab: Lab, name: str) -> RunDir:
    """V1.0 is such that the model gains exactly so much over 500 queries."""
    run = lab.copy(name)
    with_v1(run, baseline_with_gain(lab, run, gain, spread=1.0))
    return run


def as_it_was(lab: Lab, name: str) -> RunDir:
    """The night as it took place: no GPU, 500 queries."""
    return lab.copy(name)


def fewer_queries(lab: Lab, name: str) -> RunDir:
    """The same on 120 queries."""
    return small(lab, name)


def little_image(lab: Lab, name: str) -> RunDir:
    """The picture counts for little, and counts."""
    run = lab.copy(name)
    edit_weights(
        run,
        lambda weights: {
            k: v * (0.12 if k.startswith("item_tower.image.") else 1.0) for k, v in weights.items()
        },
    )
    without(run, run.stage("evaluate").results)
    return run


def interrupted(lab: Lab, name: str) -> RunDir:
    """The trainer was killed twice and went on from its checkpoints."""
    run = small(lab, name)
    path = run.stage("train").exit
    record = json.loads(path.read_text())
    whole = record["attempts"][0]
    record["attempts"] = [{**whole, "exit_code": code} for code in (-9, -9, 0)]
    write_atomically(path, json.dumps(record))
    rewrite(run, read_seal(run))
    return run


def stopped_early(lab: Lab, name: str) -> RunDir:
    """Training stopped by its own rule after a third of the plan."""
    run = small(lab, name)
    path = run.stage("train").exit
    write_atomically(path, json.dumps(json.loads(path.read_text()) | {"ending": "FINISHED"}))
    reason = {"reason": "early stop: no better on validation in 4 evaluations"}

    def edit(event: Record) -> Record:
        progress = (
            {"samples": min(int(str(event["samples"])), 900), "total": 2880} if "samples" in event else {}
        )
        return event | progress | (reason if event["kind"] == "finished" else {})

    return edit_events(run, edit)


def high_loss(lab: Lab, name: str) -> RunDir:
    """The training loss is above what was wished, and the gain is real: a third of the training labels are noise."""
    run, rng = small(lab, name), lab.rng

    def blur(item: Record) -> None:
        if rng.random() < 0.35:
            item["relevance"] = int(rng.integers(0, 4))

    with_data(run, each_item(blur), ("train",))
    return run


def nothing_relevant(lab: Lab, name: str) -> RunDir:
    """Two queries in a hundred have no relevant item."""
    run = lab.copy(name)
    with_data(run, each_item(lambda i: i.update(relevance=0), every=50))
    return run


def scaler_skips(lab: Lab, name: str) -> RunDir:
    """A gradient scaler skipped 3 of 20,000 steps."""
    run = small(lab, name)
    return edit_events(run, lambda e: e | counted(e, 20_000, 3))


def one_domain_flat(lab: Lab, name: str) -> RunDir:
    """In one of the five domains V1.0 is as good as the model."""
    run = lab.copy(name)
    split = lab.scored(run)
    records = read_split(read_seal(run), "test")
    rng = lab.rng
    scores = [
        own + 0.01 * rng.normal(size=own.size) if record["domain"] == "beer" else old
        for record, own, old in zip(records, split.new, split.v1, strict=True)
    ]
    with_v1(run, scores)
    return run


FINE = (GO, NO_GAIN)
CASES = (
    Case(
        "H1",
        "a small real gain of 0.015 over 500 queries",
        partial(with_gain, 0.015),
        (NO_GAIN,),
        falsified=GAIN,
    ),
    Case("H2", "text dominates, the picture counts for little", little_image, FINE, permuted=True),
    Case("H3", "no GPU", as_it_was, FINE, permuted=True),
    Case("H3b", "120 queries", fewer_queries, FINE),
    Case("H4", "interrupted twice, resumed", interrupted, FINE),
    Case("H5", "stopped early by its own rule", stopped_early, FINE),
    Case("H7", "a high training loss, a real gain", high_loss, FINE),
    Case("H8", "a gain of 0.035 over a V1.0 that is much like it", partial(with_gain, 0.035), FINE),
    Case("H10", "2 % of queries without a relevant item", nothing_relevant, FINE),
    Case("H12", "3 of 20,000 steps skipped", scaler_skips, FINE),
    Case("H14", "one domain without gain, none harmed", one_domain_flat, FINE),
    Case("H16", "a real gain of zero", partial(with_gain, 0.0), (NO_GAIN,), falsified=GAIN),
    Case("H17", "worse than V1.0", partial(with_gain, -0.02), (NO_GAIN,), falsified=GAIN),
)
