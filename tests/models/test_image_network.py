"""The pictures' network: a training that was cut goes on as if it had not been."""

import numpy as np
import torch

from models.image_network import QUERIES_PER_BATCH, SIDE, ImageTraining
from models.share_log import ShareLog


def training(seed=3):
    rng = np.random.default_rng(seed)
    queries, pool = 2 * QUERIES_PER_BATCH, 4
    pixels = torch.from_numpy(rng.integers(0, 255, (12, 3, SIDE, SIDE), dtype=np.uint8))
    index = torch.from_numpy(rng.integers(0, 12, (queries, pool)))
    relevance = torch.from_numpy(rng.integers(0, 3, (queries, pool)))
    searches = torch.from_numpy(rng.normal(size=(queries, 6)).astype(np.float32))
    return ImageTraining(pixels, index, searches, relevance, seed, "cpu")


def until(one, steps):
    one.train(lambda step, planned: step / planned, lambda _loss: one.step >= steps)
    return one


def test_a_cut_training_resumes_bit_equal():
    straight = until(training(), 5)
    cut = until(training(), 3)
    again = training(seed=3)
    again.restore(cut.state())
    until(again, 5)
    assert again.step == straight.step == 5
    left, right = straight.state(), again.state()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert any(not torch.equal(cut.state()[name], right[name]) for name in left)


def test_a_share_log_repeats_what_was_said(tmp_path):
    log = ShareLog()
    said = [log.next(share, 1.0) for share in (0.1, 0.25, 0.7)]
    log.save(tmp_path)
    replay = ShareLog(tmp_path)
    assert [replay.next(0.9, 0.5) for _ in range(3)] == said
    assert replay.over
    resumed = ShareLog()
    resumed.restore(tmp_path)
    resumed.next(0.8, 1.0)
    assert len(resumed.rows) == 4
    assert not resumed.over
