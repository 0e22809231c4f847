"""A small CNN for pictures, trained in the night where no pretrained weights are at hand.

It learns as one side of a two-tower ranker: a picture's vector times a projection of the search,
by listwise softmax over each query's pool (Cao et al. 2007). What is kept are the pooled features
in front of that product; they stand beside the hand-made ones, and the fusion ranker reads both.

Shapes: N pictures, SIDE pixels, B queries, C candidates, Q width of a search vector.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from models.losses import listwise_loss
from models.optimizer_state import moments_of, restore_moments
from nightshift.trainer import beat

Floats = NDArray[np.float32]
SIDE = 48
CHANNELS = (24, 48, 96, 128)
WIDTH = CHANNELS[-1]
TOWER = 64
BATCH = 256
FILE = "image_network.safetensors"
VERSION = "a CNN trained this night"
EPOCHS = 20
QUERIES_PER_BATCH = 8
PEAK_RATE, WARM_UP_STEPS, DECAY = 2e-3, 20, 0.05


class ImageNetwork(nn.Module):
    """Pictures to features."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *CHANNELS[:-1]), CHANNELS, strict=True):
            convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features, shape (N, WIDTH), of normalised pixels (N, 3, SIDE, SIDE)."""
        features: Tensor = self.body(pixels.contiguous(memory_format=torch.channels_last))
        return features

    def encode(self, pictures: Sequence[Path], device: str) -> Floats:
        """Return the features of these pictures, shape (N, WIDTH)."""
        self.to(device).eval()
        rows = []
        with torch.inference_mode():
            for start in range(0, len(pictures), BATCH):
                beat()
                pixels = normalised(read_pixels(pictures[start : start + BATCH]).to(device))
                rows.append(self(pixels).cpu().numpy())
        return np.concatenate(rows)

    def save(self, folder: Path) -> None:
        """Write the weights; nothing is pickled."""
        save_file({k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}, folder / FILE)


def load_image_network(folder: Path) -> ImageNetwork | None:
    """Return the network of a checkpoint folder, or None where it has none."""
    if not (folder / FILE).exists():
        return None
    network = ImageNetwork()
    network.load_state_dict(load_file(folder / FILE))
    return network


def read_pixels(pictures: Sequence[Path]) -> Tensor:
    """Return pictures as bytes, shape (N, 3, SIDE, SIDE)."""
    pixels = np.empty((len(pictures), SIDE, SIDE, 3), dtype=np.uint8)
    for row, path in enumerate(pictures):
        with Image.open(path) as image:
            image.draft("RGB", (SIDE, SIDE))
            pixels[row] = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def normalised(pixels: Tensor) -> Tensor:
    """Return bytes as numbers around 0."""
    return (pixels.float() / 255 - 0.5) / 0.25


def varied(pixels: Tensor, rng: torch.Generator) -> Tensor:
    """Return the pictures mirrored, cropped, turned, and changed in light, each at random."""
    count = len(pixels)

    def drawn(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng)

    mirrored = (drawn(count) < 0.5).to(pixels.device)[:, None, None, None]
    pixels = torch.where(mirrored, pixels.flip(3), pixels)
    scale, angle = 1 - 0.35 * drawn(count), 0.35 * (2 * drawn(count) - 1)
    right, down = ((2 * drawn(count) - 1) * (1 - scale) for _ in range(2))
    rows = [
        torch.stack([scale * angle.cos(), -scale * angle.sin(), right], dim=1),
        torch.stack([scale * angle.sin(), scale * angle.cos(), down], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(pixels.shape), align_corners=False)
    moved = functional.grid_sample(
        pixels, grid.to(pixels.device), align_corners=False, padding_mode="reflection"
    )
    light = [(0.2 * (2 * drawn(count, 1, 1, 1) - 1)).to(pixels.device) for _ in range(2)]
    return moved * (1 + light[0]) + light[1]


class ImageTraining:
    """The network on its way, with the search side that only training needs."""

    def __init__(
        self,
        pixels: Tensor,
        index_BC: Tensor,
        search_BQ: Tensor,
        relevance_BC: Tensor,
        seed: int,
        device: str,
    ) -> None:
        """Take `pixels` (N, 3, SIDE, SIDE) and, per query and candidate, its picture's row or -1."""
        self.pixels, self.index_BC, self.device = pixels, index_BC, device
        self.relevance_BC = torch.where(index_BC >= 0, relevance_BC, -1)
        seen = (search_BQ != 0).any(dim=0)
        self.search_BQ = functional.normalize(search_BQ * seen, dim=-1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = ImageNetwork().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.item_side = nn.Linear(WIDTH, TOWER).to(device)
            self.search_side = nn.Linear(search_BQ.shape[1], TOWER).to(device)
        parts = (self.network, self.item_side, self.search_side)
        self.optimizer = torch.optim.AdamW(
            [p for part in parts for p in part.parameters()], lr=PEAK_RATE, weight_decay=DECAY
        )
        self.rng, self.seed, self.step = torch.Generator().manual_seed(seed), seed, 0

    @property
    def batches(self) -> int:
        """Optimiser steps per epoch."""
        return -(-len(self.search_BQ) // QUERIES_PER_BATCH)

    def step_once(self, rows: Tensor, share: float) -> float:
        """Return the loss of one step; the rate falls along the share of its time that is used."""
        used, inverse = torch.unique(self.index_BC[rows].clamp(min=0), return_inverse=True)
        rate = PEAK_RATE * min(1.0, (self.step + 1) / WARM_UP_STEPS) * max(0.02, 1 - share)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        pixels = varied(normalised(self.pixels[used].to(self.device)), self.rng)
        items_BCT = self.item_side(self.network(pixels))[inverse.to(self.device)]
        searches_BT = self.search_side(self.search_BQ[rows].to(self.device))
        scores_BC = (items_BCT * searches_BT[:, None]).sum(-1)
        loss = listwise_loss(scores_BC, self.relevance_BC[rows].to(self.device))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        return float(loss.detach())

    def state(self) -> dict[str, Tensor]:
        """Return all that the next step depends on, the data excepted."""
        parts = {"network": self.network, "item": self.item_side, "search": self.search_side}
        tensors = {f"{name}.{k}": v for name, part in parts.items() for k, v in part.state_dict().items()}
        tensors |= {f"moments.{name}": tensor for name, tensor in moments_of(self.optimizer).items()}
        tensors |= {"rng": self.rng.get_state(), "step": torch.tensor(self.step)}
        return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a state: the steps that follow are those of a training that was never cut."""

        def part_of(name: str) -> dict[str, Tensor]:
            mark = f"{name}."
            return {k.removeprefix(mark): v for k, v in tensors.items() if k.startswith(mark)}

        self.network.load_state_dict(part_of("network"))
        self.item_side.load_state_dict(part_of("item"))
        self.search_side.load_state_dict(part_of("search"))
        restore_moments(self.optimizer, part_of("moments"))
        self.rng.set_state(tensors["rng"])
        self.step = int(tensors["step"])

    def train(self, share_of: Callable[[int, int], float], over: Callable[[float], bool]) -> None:
        """Train until the epochs are done, or `over(loss)`, asked after every step, says so."""
        planned = EPOCHS * self.batches
        for epoch in range(self.step // self.batches, EPOCHS):
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.search_BQ))
            first = self.step % self.batches if epoch == self.step // self.batches else 0
            for start in range(first * QUERIES_PER_BATCH, len(order), QUERIES_PER_BATCH):
                rows = torch.from_numpy(order[start : start + QUERIES_PER_BATCH])
                if over(self.step_once(rows, share_of(self.step, planned))):
                    return
