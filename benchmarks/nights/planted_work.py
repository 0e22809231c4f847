"""Nights whose work, model, files or measurements are false."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from benchmarks.nights.baseline import baseline_with_gain
from benchmarks.nights.case import BUSY, GAIN, LATENCY, LOSS, NO_GAIN, PAUSE, STOP, Case
from benchmarks.nights.edits import candidates_of, small, with_data, with_plan, with_v1, without
from benchmarks.nights.lab import Lab, Record
from models.fusion_sum import WEIGHTS
from models.scorers import PoolScorer, Request
from nightshift.checkpoint import MANIFEST, STATE, manifest_sha256, sha256_of, write_atomically
from nightshift.instant import parse_utc
from nightshift.rundir import RunDir
from nightshift.states import Metric
from verdict.forge import rewrite
from verdict.seal import read_seal

Weights = dict[str, NDArray[np.float32]]


def edit_weights(run: RunDir, edit: Callable[[Weights], Weights]) -> None:
    """Change the weights of every checkpoint; manifest and ledger are made to fit."""
    for folder in sorted(run.stage("train").checkpoints.glob("step-*")):
        weights = load_file(folder / WEIGHTS)
        (folder / WEIGHTS).unlink()
        save_file({k: np.ascontiguousarray(v) for k, v in edit(weights).items()}, folder / WEIGHTS)
        remake_manifest(folder)
    rewrite(run, read_seal(run))


def remake_manifest(folder: Path) -> None:
    """Write a checkpoint's manifest so that it fits its files."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in manifest["files"]:
        path = folder / name
        manifest["files"][name] = {"size": path.stat().st_size, "sha256": sha256_of(path)}
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1))


def silent(modality: str, weights: Weights) -> Weights:
    """Return the weights with what one modality is read by at zero."""
    return {k: np.zeros_like(v) if f"tower.{modality}." in k else v for k, v in weights.items()}


def blind(lab: Lab, name: str) -> RunDir:
    """The picture's projection is zero: the model claims to look, and does not."""
    run = small(lab, name)
    edit_weights(run, lambda weights: silent("image", weights))
    return _results_dropped(run)


def _weighs(name: str) -> bool:
    return "tower" in name or name == "overlap_weight"


def constant(lab: Lab, name: str) -> RunDir:
    """Only a bias is left: every candidate has one score."""
    run = small(lab, name)
    edit_weights(run, lambda weights: {k: np.zeros_like(v) if _weighs(k) else v for k, v in weights.items()})
    return _results_dropped(run)


def _results_dropped(run: RunDir) -> RunDir:
    """Take the evaluation's stated results away, which were of other weights."""
    without(run, run.stage("evaluate").results)
    return run


def best_of_fifty(lab: Lab, name: str) -> RunDir:
    """No true gain; the best of fifty trials on validation is reported."""
    run = lab.copy(name)
    rng = lab.rng
    with_v1(run, baseline_with_gain(lab, run, 0.0, spread=1.0))
    claimed = max(float(np.mean(rng.normal(0, 0.15, 80))) for _ in range(50))
    for folder in sorted(run.stage("train").checkpoints.glob("step-*")):
        state = json.loads((folder / STATE).read_text())
        write_atomically(
            folder / STATE, json.dumps(state | {"selection_score": state["selection_score"] + claimed})
        )
        remake_manifest(folder)
    rewrite(run, read_seal(run))
    return _results_dropped(run)


def memorised(lab: Lab, name: str) -> RunDir:
    """The training loss is small, and what was learned holds for no other query: test labels are shuffled."""
    rng = lab.rng

    def edit(_: str, records: list[Record]) -> list[Record]:
        for record in records:
            items = candidates_of(record)
            order = rng.permutation(len(items))
            labels = [items[i]["relevance"] for i in order]
            for item, label in zip(items, labels, strict=True):
                item["relevance"] = label
        return records

    run = small(lab, name)
    with_data(run, edit)
    return run


def edit_events(run: RunDir, edit: Callable[[Record], Record | None]) -> RunDir:
    """Change the training stage's events; the ledger is made to fit."""
    path = run.stage("train").events
    events = [edit(json.loads(line)) for line in path.read_text().splitlines()]
    write_atomically(path, "".join(json.dumps(event) + "\n" for event in events if event))
    rewrite(run, read_seal(run))
    return run


def skipped_batches(lab: Lab, name: str) -> RunDir:
    """One batch in twenty gave no number, and was skipped."""
    run = small(lab, name)
    return edit_events(run, lambda e: e | counted(e, 20_000, 1_000))


def no_number(lab: Lab, name: str) -> RunDir:
    """Every report of the loss is not a number."""
    run = small(lab, name)
    return edit_events(
        run, lambda e: e | ({"values": {}, "nonfinite": ["loss"]} if e["kind"] == "metrics" else {})
    )


def counted(event: Record, batches: int, skipped: int) -> Record:
    """Return what makes a report of the loss one that counts batches, and those skipped."""
    values = event.get("values", {})
    if event["kind"] != "metrics" or not isinstance(values, dict):
        return {}
    return {"values": {**values, "batches": batches, "skipped_batches": skipped}}


def slept(lab: Lab, name: str) -> RunDir:
    """The training stage slept for a minute and called itself done; the checkpoint's work was not seen."""
    run = small(lab, name)
    _ending(run, "FINISHED")
    return edit_events(run, lambda e: None if e["kind"] == "progress" else _done(e))


def barely_worked(lab: Lab, name: str) -> RunDir:
    """Done after a tenth of its own plan, for no reason given."""
    run = small(lab, name)
    _ending(run, "FINISHED")
    return edit_events(
        run,
        lambda e: (
            _done(e) | ({"samples": min(int(str(e["samples"])), 90), "total": 960} if "samples" in e else {})
        ),
    )


def _done(event: Record) -> Record:
    return event | ({"reason": "done"} if event["kind"] == "finished" else {})


def _ending(run: RunDir, ending: str) -> None:
    path = run.stage("train").exit
    record = json.loads(path.read_text()) | {"ending": ending}
    write_atomically(path, json.dumps(record))
    rewrite(run, read_seal(run))


class TooEarly:
    """A scorer whose timed call answers before it has an answer."""

    def __init__(self, scorer: PoolScorer) -> None:
        self._scorer = scorer

    def __getattr__(self, name: str) -> object:
        return getattr(self._scorer, name)

    def score(self, request: Request) -> NDArray[np.float64]:
        """Return nothing worth having, at once."""
        return np.zeros(len(next(iter(request.parts.values()))))


def too_early(lab: Lab, name: str) -> RunDir:
    """What is timed returns before the scores are there."""
    run = small(lab, name)
    edit_weights(
        run, lambda weights: {k: v * np.float32(1.0001) if _weighs(k) else v for k, v in weights.items()}
    )
    _results_dropped(run)
    checkpoint = sorted(run.stage("train").checkpoints.glob("step-*"))
    for path in checkpoint:
        scorer = lab.book.scorer(path, "cpu")
        lab.book._known["scorer", manifest_sha256(path), "cpu"] = TooEarly(scorer)
    return run


def gpu_samples(run: RunDir, busy: Callable[[int], float | None], sm_pct: float | None = None) -> None:
    """Write one NVML sample a second until behind the training stage; `busy` gives None where none was taken."""
    attempts = json.loads(run.stage("train").exit.read_text())["attempts"]
    start, end = parse_utc(attempts[0]["start"]), parse_utc(attempts[-1]["end"])
    seal = read_seal(run)
    speed, gpu = seal.speed, next(iter(seal.gpus), "")
    lines = []
    for second in range(1, int((end - start).total_seconds() / speed) + 2):
        value = busy(second)
        if value is not None:
            at = (start + timedelta(seconds=second * speed)).isoformat()
            lines.append(json.dumps({"at": at, "gpu": gpu, "utilisation_pct": value, "sm_pct": sm_pct}))
    write_atomically(run.gpu_samples, "\n".join(lines) + "\n")


def _busy_required(run: RunDir) -> None:
    criteria = tuple(
        c.model_copy(update={"required": True}) if c.metric is Metric.GPU_UTILISATION_PCT else c
        for c in read_seal(run).night.criteria
    )
    with_plan(run, criteria=criteria)


def busy_only(lab: Lab, name: str) -> RunDir:
    """The GPU was sampled only while it was busy."""
    run = small(lab, name)
    _busy_required(run)
    gpu_samples(run, lambda second: 97.0 if second % 8 < 3 else None)
    return run


def spin(lab: Lab, name: str) -> RunDir:
    """One waiting thread keeps the GPU at 100 %."""
    run = small(lab, name)
    gpu_samples(run, lambda _: 100.0, sm_pct=1.0)
    return run


CASES = (
    Case("S1", "the best of 50 trials on validation, no true gain", best_of_fifty, (NO_GAIN,), "S", GAIN),
    Case("T1", "a small loss by memory", memorised, (NO_GAIN, PAUSE), "J", LOSS),
    Case("T2", "a batch in twenty skipped", skipped_batches, (PAUSE,), "O"),
    Case("T2b", "no loss was ever a number", no_number, (PAUSE,), "O"),
    Case("T5", "the visual input is ignored", blind, (PAUSE,), "J", permuted=True),
    Case("T7", "constant scores", constant, (STOP,), "J", GAIN),
    Case("G1", "timed before the scores are there", too_early, (PAUSE,), "J", LATENCY),
    Case("G4", "sampled only while busy", busy_only, (PAUSE,), "O", BUSY),
    Case("G6", "a waiting kernel", spin, (PAUSE,), "O"),
    Case("O3", "slept, and called it a night", slept, (PAUSE,), "O"),
    Case("O3b", "a tenth of the work, called done", barely_worked, (PAUSE,), "O"),
)
