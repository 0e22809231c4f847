"""The encoders of a fusion night: frozen ones where their weights are at hand, and a CNN trained for it where not."""

from collections.abc import Sequence

import numpy as np
import torch

from models.dataset import Query
from models.encoder_choice import choose
from models.encoders import Encoders, has_pictures
from models.fusion_pools import item_rows
from models.fusion_training import SAVE_RESERVE_S
from models.image_network import ImageTraining, read_pixels
from models.settings import FusionSettings
from nightshift.instant import boottime_s
from nightshift.trainer import TrainerRun

PICTURES_SHARE = 0.25
"""Of the stage, at most, goes into the CNN."""
FEWEST_PICTURES, SHORTEST_S = 200, 8.0
"""Below this many pictures, or real seconds for them, no CNN is trained."""


def fitted_encoders(
    run: TrainerRun, settings: FusionSettings, train: list[Query], val: list[Query]
) -> Encoders:
    """Return the encoders of the checkpoint that is resumed or replayed, or new ones, fitted on train."""
    cache = run.inputs.get("cache")
    known = run.resume or run.replay
    if known:
        return Encoders.load(known, run.device, cache)
    texts = {t for q in [*train, *val] for t in (q.text, *(c.text for c in q.candidates))}
    seconds, pictures = min(run.seconds_left(), 1e9), has_pictures(train)
    choice = choose(settings.text_encoder, settings.vision_encoder, len(texts), seconds, pictures)
    encoders = Encoders.fit(choice, train, run.device, cache)
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
    run.phase("train")
    began_s = boottime_s()

    def share_of(step: int, planned: int) -> float:
        return min(1.0, max(step / planned, (boottime_s() - began_s) / slot_s))

    def over(_loss: float) -> bool:
        run.progress(training.step, samples=0, total=1, share=run.share(0, 1))
        return run.should_stop(SAVE_RESERVE_S) or boottime_s() - began_s > slot_s

    training.train(share_of, over)
    print(f"CNN: {training.step} steps on {len(pictures)} pictures in {boottime_s() - began_s:.0f} s")
    run.phase("load")
    encoders.learn_pictures(training.network, pictures)
