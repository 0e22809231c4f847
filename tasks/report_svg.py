"""Drawing by hand: a small inline SVG that takes its colours from the page and scales to a phone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from markupsafe import Markup

WIDTH = 360
"""User units of every drawing; a phone shows them at about one pixel each."""
FONT = 13.0
"""On a page of 360 px a drawing is 310 px wide: this is still 11 px there."""
HALF_HOUR_LABEL = 19.0
"""Half the width of `00:00` in user units."""
TICK_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720)
MOST_TICKS = 5
DAY_MINUTES = 1440
Point = tuple[float, float]
MARKS = (
    "m-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z",
    "m-3.6,-3.6h7.2v7.2h-7.2Z",
    "m0,-4.8l4.6,8.2h-9.2Z",
    "m0,-5l5,5l-5,5l-5,-5Z",
)
"""Disc, square, triangle, diamond around a point."""


@dataclass(frozen=True)
class Scale:
    """Maps `low..high` to `start..end`, by logarithm where `log`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value; a domain of one point lies in the middle."""
        low, high, at = (
            (math.log10(v) for v in (self.low, self.high, value))
            if self.log
            else (self.low, self.high, value)
        )
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)


@dataclass
class Drawing:
    """Elements of one SVG; every text is escaped."""

    name: str
    """Unique on the page: the title's and description's ids come from it."""
    title: str
    description: str
    height: float
    elements: list[Markup] = field(default_factory=list)

    def rect(self, x: float, y: float, width: float, height: float, css: str) -> None:
        """Add a rectangle with rounded corners."""
        self.elements.append(
            Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2" class="{}"/>').format(
                x, y, max(width, 1.0), height, css
            )
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        """Add a straight line."""
        form = Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>')
        self.elements.append(form.format(x1, y1, x2, y2, css))

    def path(self, points: Sequence[Point], css: str, closed: bool = False) -> None:
        """Add a line through these points."""
        d = " ".join(f"{'ML'[i > 0]}{x:.1f},{y:.1f}" for i, (x, y) in enumerate(points))
        self.elements.append(Markup('<path d="{}{}" class="{}"/>').format(d, "Z" if closed else "", css))

    def mark(self, x: float, y: float, shape: int, css: str) -> None:
        """Add a point: a disc, a square or a triangle, so that series differ without colour."""
        form = Markup('<path d="M{:.1f},{:.1f}{}" class="{}"/>')
        self.elements.append(form.format(x, y, Markup(MARKS[shape % len(MARKS)]), css))

    def text(self, x: float, y: float, text: str, css: str = "t", anchor: str = "start") -> None:
        """Add a text whose baseline lies at `y`."""
        form = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>')
        self.elements.append(form.format(x, y, anchor, css, text))

    def hour(self, x: float, y: float, label: str) -> None:
        """Add an hour's label centred at `x`, but never over the drawing's edge."""
        self.text(min(max(x, HALF_HOUR_LABEL), WIDTH - HALF_HOUR_LABEL), y, label, "t muted", "middle")

    def svg(self) -> Markup:
        """Return the drawing as markup."""
        head = Markup(
            '<svg viewBox="0 0 {} {:.0f}" role="img" aria-labelledby="{}-t {}-d" font-size="{}">'
            '<title id="{}-t">{}</title><desc id="{}-d">{}</desc>'
        ).format(
            WIDTH,
            self.height,
            *(self.name, self.name, FONT),
            *(self.name, self.title, self.name, self.description),
        )
        return head + Markup("").join(self.elements) + Markup("</svg>")


def nice_ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Return round numbers within `low..high`, at most about `most` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten within `low..high`, the powers alone where these are enough."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        ticks = [tick for power in powers for f in factors if low <= (tick := f * 10.0**power) <= high]
        if len(ticks) >= 2:
            return ticks
    return [low, high]


def time_ticks(start: datetime, end: datetime, zone: ZoneInfo) -> list[tuple[datetime, str]]:
    """Return instants at round local times with their labels, few enough for a phone."""
    minutes = (end - start).total_seconds() / 60
    days = math.ceil(minutes / MOST_TICKS / DAY_MINUTES) * DAY_MINUTES
    step = next((m for m in TICK_MINUTES if minutes / m <= MOST_TICKS), days)
    local = start.astimezone(zone)
    past = (local.hour * 60 + local.minute) % min(step, 60) * 60 + local.second
    wait = (min(step, 60) * 60 - past) % (min(step, 60) * 60)
    tick = start + timedelta(seconds=wait) - timedelta(microseconds=start.microsecond)
    ticks = []
    while tick <= end:
        ticks.append((tick, f"{tick.astimezone(zone):%H:%M}"))
        tick += timedelta(minutes=step)
    return ticks


def compact(value: float) -> str:
    """Return a number for an axis: 4 significant digits; 10k and 1M for large ones, 2.5e-4 for tiny ones."""
    if 0 < abs(value) < 0.001:
        digits, power = f"{value:.1e}".split("e")
        return f"{digits.removesuffix('.0')}e{int(power)}"
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if abs(value) >= 10_000 and abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"
