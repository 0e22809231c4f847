"""What one training of fusion needs at least, measured before the night: the hours above it go to seeds.

A few real optimiser steps are timed on made-up vectors of the data's sizes; encoding the items once is
added. Whether a stage is far longer than that is said when the night is planned, not after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from models.dataset import Query
from models.encoder_choice import choose
from models.encoders import has_pictures
from models.pretrained import MINILM_TEXTS_PER_S
from models.settings import FusionSettings
from models.text_features import WIDTH
from nightshift.instant import boottime_s

TOO_SMALL = 0.05
"""A training that needs less than this share of its stage does not justify it."""
SENTENCE, PICTURE, NUMBERS = 384, 413, 8
"""Usual columns of the sentence encoder, of pictures, and of numeric attributes."""
WARM_UP, TIMED = 2, 5


@dataclass(frozen=True)
class Floor:
    """One training of one seed, in real seconds on this machine."""

    steps: int
    step_s: float
    encode_s: float

    @property
    def seconds(self) -> float:
        """Every step, and encoding each text once."""
        return self.steps * self.step_s + self.encode_s

    def sentence(self, stage_s: float, seeds: Sequence[int]) -> str:
        """Return what that means for a stage of this length, in one sentence."""
        share = self.seconds / stage_s
        needs = (
            f"one training needs about {self.seconds / 60:.1f} of {stage_s / 60:.0f} min ({share:.1%}): "
            f"{self.steps:,} steps of {self.step_s * 1000:.0f} ms, measured here"
        )
        if share < TOO_SMALL:
            named = ", ".join(str(seed) for seed in seeds)
            return (
                f"TOO_SMALL: {needs}. The hours go to seeds {named} and to the designs that fusion must beat."
            )
        fit = int(1 / share)
        if fit < 1:
            return (
                f"TOO_LARGE: {needs}. It is cut at its deadline; fewer epochs or a GPU would let it finish."
            )
        return f"{needs}; {min(fit, len(seeds))} of {len(seeds)} seeds fit."


def measure_floor(
    train: Sequence[Query], settings: FusionSettings, stage_s: float = float("inf"), device: str = "cpu"
) -> Floor:
    """Return the floor of one training on this data and machine; takes about a second."""
    import torch

    from models.fusion import FusionNet, FusionShape
    from models.losses import margin_loss

    threads = torch.get_num_threads()
    torch.set_num_threads(min(2, threads))  # as the trainer does
    size, candidates = settings.queries_per_batch, max(len(query.candidates) for query in train)
    text = WIDTH + SENTENCE
    shape = FusionShape(PICTURE, text, WIDTH + NUMBERS, text, settings.width, settings.heads, settings.hidden)
    network = FusionNet(shape, WIDTH).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, fused=True)
    parts = {name: torch.rand(size, candidates, n, device=device) for name, n in shape.inputs().items()}
    search = torch.rand(size, text, device=device)
    relevance = torch.randint(0, 3, (size, candidates), device=device)
    began_s = boottime_s()
    for number in range(WARM_UP + TIMED):
        if number == WARM_UP:
            began_s = boottime_s()
        optimizer.zero_grad(set_to_none=True)
        margin_loss(network(parts, search), relevance, settings.margin).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        float(next(network.parameters()).detach().sum())  # waits for the device
    step_s = (boottime_s() - began_s) / TIMED
    torch.set_num_threads(threads)
    texts = {t for query in train for t in (query.text, *(c.text for c in query.candidates))}
    steps = -(-len(train) // size) * settings.epochs
    choice = choose(settings.text_encoder, settings.vision_encoder, len(texts), stage_s, has_pictures(train))
    return Floor(steps, step_s, len(texts) / MINILM_TEXTS_PER_S if choice.text_source else 0.0)
