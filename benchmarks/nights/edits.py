"""Edits of a copied night: other data, another plan, another V1.0, seal and ledger made to fit."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.nights.lab import FEW, Lab, Record
from nightshift.rundir import RunDir
from verdict.forge import reseal, rewrite
from verdict.ledger import Entry
from verdict.scored import ScoredSplit
from verdict.seal import Seal, read_seal


def read_split(seal: Seal, split: str) -> list[Record]:
    """Return the records of a split's file."""
    return [json.loads(line) for line in Path(seal.data.splits[split].path).read_text().splitlines()]


def write_split(folder: Path, split: str, records: list[Record]) -> Path:
    """Return a new split file in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


Edit = Callable[[str, list[Record]], list[Record]]


def candidates_of(record: Record) -> list[Record]:
    """Return a query's candidates."""
    return record["candidates"]  # type: ignore[return-value]


def label_of(item: Record) -> int:
    """Return a candidate's label."""
    return int(str(item["relevance"]))


def each_item(change: Callable[[Record], None], every: int = 1) -> Edit:
    """Return the edit that changes every candidate of every so-manieth query."""

    def edit(_: str, records: list[Record]) -> list[Record]:
        for record in records[::every]:
            for item in candidates_of(record):
                change(item)
        return records

    return edit


def set_attribute(item: Record, name: str, value: float | str) -> None:
    """Give a candidate an attribute."""
    item["attributes"][name] = value  # type: ignore[index]


def with_data(
    run: RunDir, edit: Edit, splits: tuple[str, ...] = ("test",), images: Path | None = None
) -> Seal:
    """Return the seal of this copy as if it had been sealed on edited data."""
    seal = read_seal(run)
    folder = run.path.parent / "data"
    paths = {name: write_split(folder, name, edit(name, read_split(seal, name))) for name in splits}
    sealed = reseal(run, seal, paths, images)
    opened_as_sealed(run, seal, sealed)
    if "train" in splits:
        without(run, run.stage("train").features)  # it is of the real night's training data
    if "val" in splits:
        without(run, run.stage("evaluate").results)
    return sealed


def without(run: RunDir, path: Path) -> None:
    """Take a result out of a copy and out of its ledger."""
    place = str(path.relative_to(run.path))
    path.unlink()
    rewrite(run, read_seal(run), lambda entry: None if entry.facts.get("path") == place else entry.facts)


def opened_as_sealed(run: RunDir, before: Seal, after: Seal) -> None:
    """Let the ledger say that the trainers read the files that the copy is now sealed on."""
    files = {before.data.splits[name].path: after.data.splits[name] for name in before.data.splits}

    def change(entry: Entry) -> Mapping[str, str | float]:
        file = files.get(str(entry.facts.get("path", "")))
        if entry.kind != "opened" or file is None:
            return entry.facts
        return {**entry.facts, "path": file.path, "sha256": file.sha256, "size": file.size}

    rewrite(run, after, change)


def with_plan(run: RunDir, **night: object) -> Seal:
    """Return the seal of this copy with other keys in its night, the ledger made to fit."""
    seal = read_seal(run)
    other = seal.model_copy(update={"night": seal.night.model_copy(update=night)})
    rewrite(run, other)
    return other


def declared(run: RunDir) -> None:
    """Declare in this copy's plan that V1.0 is another one than before."""
    seal = read_seal(run)
    plan = seal.plan.model_copy(update={"baseline_changed": "V1.0 run again after a declared fix"})
    rewrite(run, seal.model_copy(update={"plan": plan}))


def few(run: RunDir, count: int = FEW) -> Seal:
    """Return the seal of this copy with the first so many test queries."""
    return with_data(run, lambda _, records: records[:count])


def with_v1(run: RunDir, scores: list[NDArray[np.float64]]) -> Seal:
    """Return the seal of this copy with other V1.0 scores on the test split, declared in the plan."""

    def edit(_: str, records: list[Record]) -> list[Record]:
        for record, own in zip(records, scores, strict=True):
            for candidate, score in zip(record["candidates"], own, strict=True):  # type: ignore[call-overload]
                candidate["score_v1"] = float(score)
        return records

    with_data(run, edit)
    declared(run)
    return read_seal(run)


def small(lab: Lab, name: str) -> RunDir:
    """Return a copy with 120 test queries."""
    known = RunDir(lab.folder / "120" / "run")
    if not known.path.exists():
        few(lab.copy("120"))
    return lab.copy(name, known)


def slimmed(split: ScoredSplit, count: int) -> ScoredSplit:
    """Return the first queries of a scored split."""
    return replace(
        split,
        queries=split.queries[:count],
        requests=split.requests[:count],
        new=split.new[:count],
        v1=split.v1[:count],
        relevance=split.relevance[:count],
    )
