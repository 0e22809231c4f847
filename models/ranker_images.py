"""Colour and edge statistics of one picture: cheap, untrained, the same on every machine."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.dataset import DataError

SIDE = 32
GRID = 4
HUES = 12
IMAGE_STATISTICS = GRID * GRID * 3 + HUES + 8 + 4 * 4
"""Mean colour per tile, hue histogram, saturation and brightness histograms, edge strength."""


def _pixels(path: Path) -> NDArray[np.float32]:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.draft("RGB", (2 * SIDE, 2 * SIDE))
            small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    except OSError as error:
        raise DataError(
            f"{path}: not a readable picture ({error}); replace it or set its item aside"
        ) from error
    return np.asarray(small, dtype=np.float32) / 255.0


def _colours(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    high, low = pixels.max(axis=2), pixels.min(axis=2)
    chroma = high - low
    red, green, blue = (pixels[..., channel] for channel in range(3))
    safe = np.where(chroma > 0, chroma, 1.0)
    hue = np.where(high == red, (green - blue) / safe % 6, (blue - red) / safe + 2)
    hue = np.where((high == blue) & (high != red) & (high != green), (red - green) / safe + 4, hue) / 6
    saturation = chroma / np.where(high > 0, high, 1.0)
    hues, _ = np.histogram(hue, HUES, (0.0, 1.0), weights=chroma)
    levels = [np.histogram(values, 4, (0.0, 1.0))[0] for values in (saturation, high)]
    counted: NDArray[np.float32] = np.concatenate([hues, *levels]).astype(np.float32)
    return counted / np.float32(SIDE * SIDE)


def _edges(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    grey = pixels.mean(axis=2)
    strength = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
    padded = np.pad(strength, ((0, 1), (0, 1)))
    return _tiles(padded[..., None])


def _tiles(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    size = SIDE // GRID
    tiles: NDArray[np.float32] = pixels.reshape(GRID, size, GRID, size, -1).mean(axis=(1, 3)).ravel()
    return tiles


@lru_cache(maxsize=1 << 17)
def image_statistics(path: Path) -> NDArray[np.float32]:
    """Return the statistics of a picture, shape (IMAGE_STATISTICS,); the file is read once per process.

    Raises DataError where it cannot be decoded.
    """
    pixels = _pixels(path)
    return np.concatenate([_tiles(pixels), _colours(pixels), _edges(pixels)])
