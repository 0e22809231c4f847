"""Nights with a metric that is none, a spoiled baseline, other pools, or too few queries."""

import shutil
from functools import partial
from pathlib import Path

from benchmarks.nights.case import GAIN, PAUSE, STOP, Case
from benchmarks.nights.edits import (
    candidates_of,
    each_item,
    few,
    read_split,
    small,
    with_data,
    with_plan,
    write_split,
)
from benchmarks.nights.lab import Lab
from nightshift.rundir import RunDir
from verdict.forge import reseal, rewrite
from verdict.seal import read_seal


def zero_labels(lab: Lab, name: str) -> RunDir:
    """Every test label is 0, as through a missing key."""
    run = small(lab, name)
    with_data(run, each_item(lambda i: i.update(relevance=0)))
    return run


def spoiled_baseline(lab: Lab, name: str) -> RunDir:
    """V1.0's scores are noise, over the pools that an earlier night had with the true ones."""
    run, rng = lab.copy(name), lab.rng
    with_data(run, each_item(lambda i: i.update(score_v1=float(rng.normal()))))
    return run


def other_pools(lab: Lab, name: str) -> RunDir:
    """Twenty candidates are judged where thirty were sealed; the file's own hash was made to fit."""
    run = small(lab, name)
    seal = read_seal(run)
    cut = [{**r, "candidates": candidates_of(r)[:20]} for r in read_split(seal, "test")]
    sealed = reseal(run, seal, {"test": write_split(run.path.parent / "cut", "test", cut)})
    data = sealed.data.model_copy(update={"contents": seal.data.contents})
    rewrite(run, sealed.model_copy(update={"data": data}))
    return run


def five_queries(lab: Lab, name: str) -> RunDir:
    """Five test queries."""
    run = lab.copy(name)
    few(run, 5)
    return run


def with_metric(lab: Lab, name: str, function: str) -> RunDir:
    """Return a copy whose plan names a metric of `metrics.py` as the person's own."""
    run = small(lab, name)
    shutil.copy(Path(__file__).parent / "metrics.py", lab.folder / "metrics.py")
    seal = with_plan(run, metric=f"metrics.py:{function}")
    rewrite(run, seal.model_copy(update={"plan_dir": str(lab.folder), "code": {}}))
    return run


CASES = (
    Case("M1", "metric: own score as gain", partial(with_metric, function="own_score"), (STOP,), "C"),
    Case(
        "M2",
        "metric: a key that is missing",
        partial(with_metric, function="missing_key"),
        (STOP, PAUSE),
        "C",
    ),
    Case("M2b", "every test label is 0", zero_labels, (PAUSE,), "C", GAIN),
    Case("M4", "metric: ties in input order", partial(with_metric, function="input_order"), (STOP,), "C"),
    Case("M5", "metric: empty queries count 1", partial(with_metric, function="empty_is_one"), (STOP,), "C"),
    Case(
        "M9",
        "metric: compliance is a boosted score",
        partial(with_metric, function="boosted_compliance"),
        (STOP,),
        "C",
    ),
    Case("B1", "the baseline is spoiled", spoiled_baseline, (STOP,), "J", GAIN),
    Case("B2", "another pool than was sealed", other_pools, (STOP,), "P", GAIN),
    Case("S4", "five queries", five_queries, (PAUSE,), "S", GAIN),
)
