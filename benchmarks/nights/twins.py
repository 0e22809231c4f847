"""The honest twins of planted nights: they look alike, and nothing is wrong with them."""

import os

from benchmarks.nights.case import GO, NO_GAIN, Case
from benchmarks.nights.edits import (
    declared,
    each_item,
    few,
    label_of,
    read_split,
    set_attribute,
    small,
    with_data,
    with_plan,
    without,
)
from benchmarks.nights.lab import Lab, Record
from benchmarks.nights.planted_data import own_pictures
from benchmarks.nights.planted_metric import with_metric
from benchmarks.nights.planted_work import edit_weights, gpu_samples, silent
from models.dataset import SPLITS
from nightshift.rundir import RunDir
from verdict.forge import reseal
from verdict.seal import read_seal

FINE = (GO, NO_GAIN)


def strong_feature(lab: Lab, name: str) -> RunDir:
    """A column is strongly and honestly related to the label, as a rating would be."""
    run, rng = small(lab, name), lab.rng
    rate = each_item(lambda i: set_attribute(i, "rating", float(label_of(i) + rng.normal(0, 1.0))))
    with_data(run, rate, SPLITS)
    return run


def one_copied_query(lab: Lab, name: str) -> RunDir:
    """One training query slipped into the test: judged without it."""
    stolen = read_split(lab.seal, "train")[0]

    def edit(_: str, records: list[Record]) -> list[Record]:
        return [{**stolen, "query_id": records[0]["query_id"]}, *records[1:]]

    run = small(lab, name)
    with_data(run, edit)
    return run


def twice_in_training(lab: Lab, name: str) -> RunDir:
    """A query stands twice in training."""

    def edit(_: str, records: list[Record]) -> list[Record]:
        return [*records, *({**r, "query_id": f"{r['query_id']}-again"} for r in records[:20])]

    run = small(lab, name)
    with_data(run, edit, ("train",))
    return run


def stock_picture(lab: Lab, name: str) -> RunDir:
    """Many test items show one stock picture, which a training item has, too."""
    run = small(lab, name)
    folder = own_pictures(lab, run)
    stock = sorted((folder / "images").glob("train-*.png"))[0]
    for path in sorted((folder / "images").glob("test-*.png"))[::25]:
        path.unlink()
        os.link(stock, path)
    reseal(run, read_seal(run), {}, folder)
    return run


def sound_metric(lab: Lab, name: str) -> RunDir:
    """The plan's own metric is sound."""
    return with_metric(lab, name, "sound")


def mended_baseline(lab: Lab, name: str) -> RunDir:
    """V1.0 was run again after a declared fix."""
    run, rng = lab.copy(name), lab.rng
    mend = each_item(lambda i: i.update(score_v1=float(str(i["score_v1"])) + float(rng.normal(0, 0.01))))
    with_data(run, mend)
    declared(run)
    return run


def sampler_restarted(lab: Lab, name: str) -> RunDir:
    """The sampler was restarted once; three seconds in a hundred were not sampled."""
    run = small(lab, name)
    gpu_samples(run, lambda second: None if 20 <= second < 22 else 96.0, sm_pct=61.0)
    return run


def input_bound(lab: Lab, name: str) -> RunDir:
    """The GPU waited for data: utilisation was missed, and that is said."""
    run = small(lab, name)
    gpu_samples(run, lambda _: 43.0, sm_pct=31.0)
    return run


def docs_changed(lab: Lab, name: str) -> RunDir:
    """Only a README was edited in the night."""
    run = small(lab, name)
    (run.path.parent / "README.md").write_text("edited at 02:00")
    return run


def calibrated(lab: Lab, name: str) -> RunDir:
    """Scores were calibrated: another scale and offset, the same order."""
    run = small(lab, name)
    edit_weights(
        run,
        lambda w: {
            k: v * (1.3 if k.startswith("item_tower.") or k == "overlap_weight" else 1.0)
            for k, v in w.items()
        },
    )
    without(run, run.stage("evaluate").results)
    return run


def declared_pilot(lab: Lab, name: str) -> RunDir:
    """A pilot of 40 queries, sealed as such."""
    run = lab.copy(name)
    few(run, 40)
    return run


def no_claim(lab: Lab, name: str) -> RunDir:
    """The plan claims nothing of pictures, and the model does not look at them."""
    run = small(lab, name)
    with_plan(run, claims=())
    edit_weights(run, lambda weights: silent("image", weights))
    without(run, run.stage("evaluate").results)
    return run


CASES = (
    Case("t-B1", "V1.0 run again after a declared fix", mended_baseline, FINE),
    Case("t-D5", "a strong, honest column", strong_feature, FINE),
    Case("t-G4", "the sampler restarted once", sampler_restarted, FINE),
    Case("t-G6", "a GPU that waits for data", input_bound, FINE),
    Case("t-K1", "one copied query: judged without it", one_copied_query, FINE),
    Case("t-K1b", "the same query twice inside train", twice_in_training, FINE),
    Case("t-K2", "one stock picture on many items", stock_picture, FINE),
    Case("t-M1", "a sound metric of one's own", sound_metric, FINE),
    Case("t-M9", "calibrated scores", calibrated, FINE),
    Case("t-S4", "a declared pilot of 40 queries", declared_pilot, FINE),
    Case("t-T5", "no claim, no picture used", no_claim, FINE, permuted=True),
    Case("t-V4", "only a README changed", docs_changed, FINE),
)
