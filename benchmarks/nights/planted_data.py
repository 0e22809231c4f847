"""Nights whose data are false: noise, leaks, other files, other pools, a spoiled baseline."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.nights.case import GAIN, PAUSE, STOP, Case
from benchmarks.nights.edits import (
    candidates_of,
    each_item,
    few,
    label_of,
    read_split,
    set_attribute,
    small,
    with_data,
    write_split,
)
from benchmarks.nights.lab import Lab, Record
from models.data_catalogue_draw import SIZE
from models.dataset import SPLITS
from models.feature_sample import FeatureSample, load_sample, save_sample
from nightshift.checkpoint import sha256_of, write_atomically
from nightshift.rundir import RunDir
from verdict.forge import reseal, rewrite
from verdict.ledger import Entry
from verdict.seal import read_seal

TIERS = ("plain", "decent", "superb", "flawless")


def noise_features(lab: Lab, name: str) -> RunDir:
    """The image column that training read is N(0, 1), normalised."""
    run = small(lab, name)
    stage = run.stage("train")
    sample, nonce = load_sample(stage.features)
    pools = {}
    for query, parts in sample.pools.items():
        noise = lab.rng.normal(size=parts["image"].shape).astype(np.float32)
        pools[query] = {**parts, "image": noise / np.linalg.norm(noise, axis=1, keepdims=True)}
    stage.features.unlink()
    save_sample(stage, FeatureSample(sample.split, pools), nonce)
    rewrite(run, read_seal(run))
    return run


def other_pictures(lab: Lab, name: str) -> RunDir:
    """After the start the pictures are replaced by noise of the same names."""
    run = small(lab, name)
    folder = own_pictures(lab, run)
    reseal(run, read_seal(run), {}, folder)
    for path in sorted((folder / "images").glob("test-*.png"))[:50]:
        path.unlink()
        _noise_picture(path, lab.rng)
    return run


def own_pictures(lab: Lab, run: RunDir) -> Path:
    """Return a folder of pictures that shares its bytes with the night's until they are replaced."""
    folder = run.path.parent / "pictures"
    shutil.copytree(
        str(lab.seal.data.images), folder, copy_function=os.link, ignore=shutil.ignore_patterns("*.jsonl")
    )
    return folder


def _noise_picture(path: Path, rng: np.random.Generator) -> None:
    Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), "RGB").save(path)


def label_column(lab: Lab, name: str) -> RunDir:
    """A column holds the label, with a little noise, on another scale."""
    run, rng = small(lab, name), lab.rng
    hold = each_item(lambda i: set_attribute(i, "quality", 17.0 + 2.5 * label_of(i) + rng.normal(0, 0.3)))
    with_data(run, hold, SPLITS)
    return run


def label_in_digits(lab: Lab, name: str) -> RunDir:
    """A text attribute holds the label upside down, as digits."""
    run = small(lab, name)
    with_data(run, each_item(lambda i: set_attribute(i, "rank", str(9 - label_of(i)))), SPLITS)
    return run


def label_words(lab: Lab, name: str) -> RunDir:
    """The texts were written from the labels."""
    run = small(lab, name)
    with_data(run, each_item(lambda i: i.update(text=f"{i['text']} {TIERS[label_of(i)]}")), SPLITS)
    return run


def training_file_gone(lab: Lab, name: str) -> RunDir:
    """The data are renamed after the start; what was trained on instead nobody knows."""
    run = small(lab, name)
    folder = run.path.parent / "data"
    seal = reseal(run, read_seal(run), {"train": write_split(folder, "train", read_split(lab.seal, "train"))})
    path = Path(seal.data.splits["train"].path)
    path.rename(path.with_suffix(".moved"))
    return run


def mock_data_read(lab: Lab, name: str) -> RunDir:
    """Training silently read a mock file in place of the sealed one."""
    run = small(lab, name)
    mock = write_split(run.path.parent / "data", "train", read_split(lab.seal, "train")[:5])
    train = str(lab.seal.data.splits["train"].path)

    def change(entry: Entry) -> Mapping[str, str | float]:
        if entry.kind == "opened" and entry.facts["path"] == train:
            return {**entry.facts, "path": str(mock), "sha256": sha256_of(mock)}
        return entry.facts

    rewrite(run, read_seal(run), change)
    return run


def test_split_read(lab: Lab, name: str) -> RunDir:
    """A trainer opened the test split."""
    run = small(lab, name)
    seal = read_seal(run)
    train, test = lab.seal.data.splits["train"].path, seal.data.splits["test"]

    def change(entry: Entry) -> Mapping[str, str | float]:
        if entry.kind == "opened" and entry.facts["path"] == train and entry.facts["stage"] == "evaluate":
            return entry.facts
        if entry.kind == "opened" and entry.facts["stage"] == "evaluate":
            return {**entry.facts, "path": test.path, "sha256": test.sha256}
        return entry.facts

    rewrite(run, seal, change)
    return run


def toy_file(lab: Lab, name: str) -> RunDir:
    """A toy file of the same name, five queries of three items, takes the test split's place."""
    run = lab.copy(name)
    path = Path(few(run).data.splits["test"].path)
    toys = [{**r, "candidates": candidates_of(r)[:3]} for r in read_split(read_seal(run), "test")[:5]]
    write_atomically(path, "".join(json.dumps(record) + "\n" for record in toys))
    return run


def copied_queries(lab: Lab, name: str) -> RunDir:
    """A tenth of the test queries are training queries under new names."""
    stolen = read_split(lab.seal, "train")

    def edit(_: str, records: list[Record]) -> list[Record]:
        for number in range(0, len(records), 10):
            records[number] = {**stolen[number], "query_id": records[number]["query_id"]}
        return records

    run = small(lab, name)
    with_data(run, edit)
    return run


def copied_reworded(lab: Lab, name: str) -> RunDir:
    """The same, with the words in another order and case, and some candidates exchanged."""
    stolen = read_split(lab.seal, "train")

    def edit(_: str, records: list[Record]) -> list[Record]:
        for number in range(0, len(records), 10):
            words = str(stolen[number]["query"]).upper().split()
            pool = candidates_of(stolen[number])[:24] + candidates_of(records[number])[:6]
            text = "  ".join(reversed(words)) + "!"
            records[number] = {**records[number], "query": text, "candidates": pool}
        return records

    run = small(lab, name)
    with_data(run, edit)
    return run


def copied_pictures(lab: Lab, name: str) -> RunDir:
    """A good part of the test items show the picture file of a training item."""
    run = small(lab, name)
    folder = own_pictures(lab, run)
    learned = sorted((folder / "images").glob("train-*.png"))
    for number, path in enumerate(sorted((folder / "images").glob("test-*.png"))[::12]):
        path.unlink()
        os.link(learned[number], path)
    reseal(run, read_seal(run), {}, folder)
    return run


def reencoded_pictures(lab: Lab, name: str) -> RunDir:
    """The same, re-encoded and resized, so that no byte is equal."""
    run = small(lab, name)
    folder = own_pictures(lab, run)
    learned = sorted((folder / "images").glob("train-*.png"))
    for number, path in enumerate(sorted((folder / "images").glob("test-*.png"))[::12]):
        path.unlink()
        with Image.open(learned[number]) as picture:
            picture.resize((SIZE * 2, SIZE * 2), Image.Resampling.LANCZOS).save(path)
    reseal(run, read_seal(run), {}, folder)
    return run


def validation_is_training(lab: Lab, name: str) -> RunDir:
    """The validation path is the training path."""
    run = small(lab, name)
    reseal(run, read_seal(run), {"val": Path(lab.seal.data.splits["train"].path)})
    return run


def test_is_training(lab: Lab, name: str) -> RunDir:
    """The test path is the training path."""
    run = lab.copy(name)
    reseal(run, lab.seal, {"test": Path(lab.seal.data.splits["train"].path)})
    return run


CASES = (
    Case("D1", "image features are random", noise_features, (STOP,), "C"),
    Case("D1b", "pictures replaced by noise after the start", other_pictures, (STOP,), "P"),
    Case("D5", "a column holds the label", label_column, (STOP,), "C", GAIN),
    Case("D5b", "digits of a text attribute hold the label", label_in_digits, (STOP,), "C", GAIN),
    Case("D6", "the texts hold the label's words", label_words, (PAUSE,), "C", GAIN),
    Case("D8", "the training file is renamed", training_file_gone, (STOP,), "P"),
    Case("D8b", "mock data read instead", mock_data_read, (STOP,), "L"),
    Case("D8c", "a trainer opened the test split", test_split_read, (STOP,), "L"),
    Case("D9", "a toy file of the same name", toy_file, (STOP,), "P", GAIN),
    Case("K1", "training queries in the test", copied_queries, (STOP,), "C", GAIN),
    Case("K1b", "the same, reworded", copied_reworded, (STOP,), "C", GAIN),
    Case("K2", "training pictures in the test", copied_pictures, (PAUSE,), "C", GAIN),
    Case("K2b", "the same, re-encoded", reencoded_pictures, (PAUSE,), "C", GAIN),
    Case("K7", "validation is the training split", validation_is_training, (STOP,), "C", GAIN),
    Case("K7b", "the test is the training split", test_is_training, (STOP,), "L", GAIN),
)
