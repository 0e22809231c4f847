"""Nights whose files are not of tonight: checkpoints, results, code, endings, a seal."""

import json
import shutil
from collections.abc import Callable
from functools import partial

from benchmarks.nights.case import PAUSE, STOP, Case
from benchmarks.nights.edits import small
from benchmarks.nights.lab import Lab, Record
from benchmarks.nights.planted_work import remake_manifest
from nightshift.checkpoint import STATE, write_atomically
from nightshift.rundir import RunDir
from verdict.forge import rewrite
from verdict.seal import read_seal


def invented_values(lab: Lab, name: str) -> RunDir:
    """The per-query values that the evaluation states were drawn around a mean."""
    run, rng = small(lab, name), lab.rng
    return _other_results(run, lambda line: {**line, "ndcg_at_10": float(rng.normal(0.93, 0.04))})


def values_alone(lab: Lab, name: str) -> RunDir:
    """The evaluation states values and no scores."""
    run = small(lab, name)
    return _other_results(run, lambda line: {k: v for k, v in line.items() if k != "scores"})


def smaller_pool(lab: Lab, name: str) -> RunDir:
    """The evaluation ranked twenty candidates where V1.0 ranked thirty."""
    run = small(lab, name)
    return _other_results(run, lambda line: {**line, "scores": line["scores"][:20]})  # type: ignore[index]


def _other_results(run: RunDir, edit: Callable[[Record], Record]) -> RunDir:
    path = run.stage("evaluate").results
    head, *lines = path.read_text().splitlines()
    edited = [json.dumps(edit(json.loads(line))) for line in lines]
    write_atomically(path, "\n".join([head, *edited]) + "\n")
    rewrite(run, read_seal(run))
    return run


def crashed(lab: Lab, name: str) -> RunDir:
    """The evaluation crashed, and its old value was kept."""
    run = small(lab, name)
    path = run.stage("evaluate").exit
    write_atomically(path, json.dumps(json.loads(path.read_text()) | {"ending": "CRASHED"}))
    rewrite(run, read_seal(run))
    return run


def earlier_checkpoint(lab: Lab, name: str) -> RunDir:
    """A checkpoint of an earlier night lies among tonight's, with a better score."""
    run = small(lab, name)
    return _foreign(run, "another night's nonce 0123456789")


def earlier_checkpoint_renamed(lab: Lab, name: str) -> RunDir:
    """The same, with tonight's nonce written into it; only the ledger does not know it."""
    run = small(lab, name)
    return _foreign(run, read_seal(run).nonce)


def _foreign(run: RunDir, nonce: str) -> RunDir:
    checkpoints = run.stage("train").checkpoints
    source = sorted(checkpoints.glob("step-*"))[-1]
    target = checkpoints / "step-900000"
    shutil.copytree(source, target)
    state = json.loads((target / STATE).read_text())
    (target / STATE).write_text(json.dumps(state | {"nonce": nonce, "selection_score": 0.9999}))
    remake_manifest(target)
    return run


def yesterdays_metrics(lab: Lab, name: str) -> RunDir:
    """Yesterday's analysis, touched, lies beside tonight's results."""
    run = small(lab, name)
    (run.stage("evaluate").out / "metrics.json").write_text(json.dumps({"ndcg_at_10": 0.99}))
    return run


def yesterdays_results(lab: Lab, name: str) -> RunDir:
    """Yesterday's results were there when tonight's ledger was written; their nonce is another."""
    run = small(lab, name)
    path = run.stage("evaluate").results
    head, *lines = path.read_text().splitlines()
    write_atomically(path, "\n".join([json.dumps(json.loads(head) | {"nonce": "f" * 32}), *lines]) + "\n")
    rewrite(run, read_seal(run))
    return run


def other_code(lab: Lab, name: str, module: str) -> RunDir:
    """A module is not what it was when the night was sealed."""
    run = small(lab, name)
    seal = read_seal(run)
    rewrite(run, seal.model_copy(update={"code": {**seal.code, module: "0" * 64}}))
    return run


def easier_after(lab: Lab, name: str) -> RunDir:
    """The criterion was made easier after the start."""
    run = small(lab, name)
    record = json.loads(run.seal.read_text())
    record["night"]["criteria"][0]["above"] = -1.0
    write_atomically(run.seal, json.dumps(record))
    return run


CASES = (
    Case("S5", "per-query values invented around a mean", invented_values, (STOP,), "J"),
    Case("S5b", "values without scores", values_alone, (STOP,), "J"),
    Case("B2b", "a smaller pool for one system", smaller_pool, (STOP,), "J"),
    Case("V1", "a checkpoint of an earlier night", earlier_checkpoint, (STOP,), "L"),
    Case("V1b", "the same, with tonight's nonce", earlier_checkpoint_renamed, (STOP,), "L"),
    Case("V2", "metrics left from yesterday", yesterdays_metrics, (STOP,), "L"),
    Case("V2b", "the same, recorded by the ledger", yesterdays_results, (STOP,), "L"),
    Case(
        "V4",
        "trainer code changed after the start",
        partial(other_code, module="models/train_fusion.py"),
        (PAUSE,),
        "P",
    ),
    Case("O1", "a crashed step, its old value kept", crashed, (PAUSE,), "L"),
    Case("O6", "the judge was edited", partial(other_code, module="verdict/statistics.py"), (STOP,), "P"),
    Case("P1", "the criterion made easier afterwards", easier_after, (STOP,), "L"),
)
