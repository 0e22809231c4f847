"""Pictures of the built-in bar catalogue: what they show stands nowhere in words."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 64
HUES = {"red": 0.0, "amber": 0.105, "green": 0.34, "blue": 0.6, "violet": 0.79}
"""Colour word of a query -> hue of the liquid, 0..1; "clear" has none."""
COLOURS = (*HUES, "clear")
SHAPES = {"cocktail": "coupe", "beer": "mug", "wine": "stem", "coffee": "cup", "mocktail": "tumbler"}
Rgb = tuple[int, int, int]


def liquid_colour(colour: str, rng: np.random.Generator) -> Rgb:
    """Return a shade of this colour, no two items quite alike."""
    if colour == "clear":
        level = int(rng.integers(205, 240))
        return level, level, min(255, level + int(rng.integers(0, 10)))
    hue = (HUES[colour] + rng.normal(0, 0.018)) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, rng.uniform(0.62, 0.95), rng.uniform(0.55, 0.92))
    return int(red * 255), int(green * 255), int(blue * 255)


def _background(rng: np.random.Generator) -> Image.Image:
    base = rng.uniform(40, 150)
    warm = rng.uniform(0.85, 1.1, size=3)
    ramp = np.linspace(rng.uniform(-25, 0), rng.uniform(0, 25), SIZE)[:, None]
    noise = rng.normal(0, 6, size=(SIZE, SIZE))
    pixels = (base + ramp + noise)[:, :, None] * warm
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB")


def _bowl(shape: str, x: int, top: int, width: int, height: int) -> list[tuple[int, int]]:
    half = width // 2
    bottom = top + height
    if shape == "coupe":
        return [(x - half, top), (x + half, top), (x + half // 3, bottom), (x - half // 3, bottom)]
    if shape == "stem":
        return [(x - half * 2 // 3, top), (x + half * 2 // 3, top), (x + half, top + height // 2),
                (x + half // 3, bottom), (x - half // 3, bottom), (x - half, top + height // 2)]  # fmt: skip
    if shape == "cup":
        return [(x - half, top), (x + half, top), (x + half * 2 // 3, bottom), (x - half * 2 // 3, bottom)]
    return [(x - half, top), (x + half, top), (x + half * 5 // 6, bottom), (x - half * 5 // 6, bottom)]


def draw_item(colour: str, domain: str, rng: np.random.Generator) -> Image.Image:
    """Return the picture of one item, SIZE x SIZE RGB: a glass of its domain, filled with its colour."""
    image = _background(rng)
    pen = ImageDraw.Draw(image)
    x, top = 32 + int(rng.integers(-6, 7)), 14 + int(rng.integers(-4, 5))
    width, height = 30 + int(rng.integers(-5, 6)), 30 + int(rng.integers(-5, 6))
    glass = (225, 228, 232)
    outline = _bowl(SHAPES[domain], x, top, width, height)
    fill_top = top + int(height * rng.uniform(0.08, 0.25))
    pen.polygon(outline, fill=(190, 195, 200), outline=glass)
    liquid = _bowl(SHAPES[domain], x, fill_top, int(width * 0.9), height - (fill_top - top) - 1)
    pen.polygon(liquid, fill=liquid_colour(colour, rng))
    if SHAPES[domain] in ("coupe", "stem"):
        pen.line([(x, top + height), (x, 58)], fill=glass, width=2)
        pen.line([(x - 8, 59), (x + 8, 59)], fill=glass, width=2)
    if SHAPES[domain] in ("mug", "cup"):
        right = x + width // 2
        pen.arc([right - 3, top + 5, right + 9, top + height - 6], -90, 90, fill=glass, width=2)
    _garnish(pen, x - width // 2, top, rng)
    return image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.0, 0.8))))


def _garnish(pen: ImageDraw.ImageDraw, x: int, y: int, rng: np.random.Generator) -> None:
    """Something small in a colour of its own, so that the liquid is not the only colour of the picture."""
    if rng.random() < 0.4:
        return
    colour = [(235, 210, 60), (190, 30, 50), (60, 150, 60)][int(rng.integers(3))]
    radius = int(rng.integers(3, 5))
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
