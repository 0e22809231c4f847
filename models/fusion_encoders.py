"""The encoders of a fusion night: frozen ones where their weights are at hand, and a CNN trained for it where not."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from models.dataset import Query
from models.encoder_choice import choose
from models.encoders import Encoders, has_pictures
from models.fusion_pools import item_rows
from models.fusion_training import SAVE_EVERY_S, SAVE_RESERVE_S
from models.image_network import ImageTraining, read_pixels
from models.settings import FusionSettings
from models.stage_best import forget_old
from nightshift.checkpoint import read_state
from nightshift.instant import boottime_s
from nightshift.trainer import TrainerRun

PICTURES_SHARE = 0.25
"""Of the stage, at most, goes into the CNN."""
STATE, SAVES = "picture_training.safetensors", 5
"""A CNN's training to go on with, and how often it is saved at least."""
FEWEST_PICTURES, SHORTEST_S = 200, 8.0
"""Below this many pictures, or real seconds for them, no CNN is trained."""


class Learning:
    """The CNN's training as a part of the stage: its slot of time, and checkpoints to go on from."""

    def __init__(self, run: TrainerRun, encoders: Encoders, training: ImageTraining, slot_s: float) -> None:
        self.run, self.encoders, self.training, self.slot_s = run, encoders, training, slot_s
        self.before_s, self.began_s = 0.0, boottime_s()
        if run.resume:
            training.restore(load_file(run.resume / STATE))
            state = read_state(run.resume)
            self.before_s, self.slot_s = float(str(state["used_s"])), float(str(state["slot_s"]))
        self.saved_s = boottime_s()
        run.phase("train")

    def used_s(self) -> float:
        """Return the real seconds spent so far, those of earlier attempts included."""
        return self.before_s + boottime_s() - self.began_s

    def share(self, step: int, planned: int) -> float:
        """Return the used share of the schedule, 0..1."""
        return min(1.0, max(step / planned, self.used_s() / self.slot_s))

    def over(self, _loss: float) -> bool:
        """Say how far it is, save now and then, and return whether its time is over."""
        self.run.progress(self.training.step, samples=0, total=1, share=self.run.share(0, 1))
        if boottime_s() - self.saved_s > min(SAVE_EVERY_S, self.slot_s / SAVES):
            self.save(whole=False)
        return self.run.should_stop(SAVE_RESERVE_S) or self.used_s() > self.slot_s

    def save(self, whole: bool) -> None:
        """Write a checkpoint to go on from; it holds no ranker, so it has no score."""

        def write(folder: Path) -> None:
            self.encoders.save(folder)
            if not whole:
                save_file(self.training.state(), folder / STATE)

        self.run.phase("checkpoint")
        self.run.save(
            self.training.step, write, kind="pictures", used_s=self.used_s(), slot_s=self.slot_s,
            encoders=dict(self.encoders.choice.spoken),
        )  # fmt: skip
        self.saved_s = boottime_s()
        forget_old(self.run.folder.checkpoints)
        self.run.phase("train")


def fitted_encoders(
    run: TrainerRun, settings: FusionSettings, train: list[Query], val: list[Query]
) -> Encoders:
    """Return the encoders of the checkpoint that is resumed or replayed, or new ones, fitted on train."""
    cache = run.inputs.get("cache")
    known = run.resume or run.replay
    if known and not (known / STATE).exists():
        return Encoders.load(known, run.device, cache)
    texts = {t for q in [*train, *val] for t in (q.text, *(c.text for c in q.candidates))}
    seconds, pictures = min(run.seconds_left(), 1e9), has_pictures(train)
    choice = choose(settings.text_encoder, settings.vision_encoder, len(texts), seconds, pictures)
    fit = Encoders.load(known, run.device, cache) if known else None
    encoders = fit or Encoders.fit(choice, train, run.device, cache)
    if settings.image_network and pictures and choice.vision_source is None:
        learn_pictures(run, encoders, train)
    return encoders


def learn_pictures(run: TrainerRun, encoders: Encoders, train: Sequence[Query]) -> None:
    """Train a CNN on the training pools' pictures, where there are enough of them and time."""
    items, index = item_rows(train)
    rows = {i: item.image for i, item in enumerate(items) if item.image is not None}
    pictures, slot_s = list(rows.values()), PICTURES_SHARE * run.seconds_left()
    if len(pictures) < FEWEST_PICTURES or slot_s < SHORTEST_S:
        print(f"no CNN: {len(pictures)} pictures, {slot_s:.0f} s for them")
        return
    row_of = np.full(len(items) + 1, -1)  # the last entry answers for -1, beyond a pool's end
    row_of[list(rows)] = np.arange(len(pictures))
    relevance = np.full(index.shape, -1)
    for row, query in enumerate(train):
        relevance[row, : len(query.candidates)] = query.relevance()
    searches = torch.from_numpy(encoders.texts([query.text for query in train]))
    training = ImageTraining(
        read_pixels(pictures), torch.from_numpy(row_of[index]), searches, torch.from_numpy(relevance),
        run.seed, run.device,
    )  # fmt: skip
    learning = Learning(run, encoders, training, slot_s)
    training.train(learning.share, learning.over)
    print(f"CNN: {training.step} steps on {len(pictures)} pictures in {learning.used_s():.0f} s")
    run.phase("load")
    encoders.learn_pictures(training.network, pictures)
    learning.save(whole=True)
