"""Curves of training and gains per query as inline SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from markupsafe import Markup

from tasks.report_svg import WIDTH, Drawing, Point, Scale, compact, nice_ticks, time_ticks

LEFT, RIGHT, TOP, FLOOR, HEIGHT = 52.0, WIDTH - 6.0, 12.0, 158.0, 182.0
COLUMNS = 300
"""Sorted gains are thinned to this many columns."""
UNCHANGED = 1e-9


def curve(
    name: str,
    title: str,
    points: Sequence[tuple[datetime, float]],
    zone: str,
    against: tuple[str, float] | None,
) -> Markup:
    """Return a curve over local time; `against` is the name and value of a dashed line, or None."""
    values = [value for _, value in points] + ([against[1]] if against else [])
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    first, last = points[0], points[-1]
    x = Scale(first[0].timestamp(), last[0].timestamp(), LEFT, RIGHT)
    y = Scale(low - margin, high + margin, FLOOR, TOP)
    held = f"; {against[0]} has {against[1]:.4f}" if against else ""
    drawing = Drawing(name, title, f"From {first[1]:.4g} to {last[1]:.4g}{held}", HEIGHT)
    y_axis(drawing, y, nice_ticks(y.low, y.high))
    for tick, label in time_ticks(first[0], last[0], ZoneInfo(zone)):
        drawing.hour(x(tick.timestamp()), FLOOR + 18, label)
    if against:
        at = y(against[1])
        drawing.line(LEFT, at, RIGHT, at, "baseline")
        drawing.text(RIGHT, at - 5, f"{against[0]} {against[1]:.4f}", "t muted", "end")
    placed = [(x(at.timestamp()), y(value)) for at, value in points]
    drawing.path(placed, "curve")
    drawing.mark(*placed[-1], 0, "mark")
    return drawing.svg()


@dataclass(frozen=True)
class GainShares:
    """How many queries the night helped, left alone and harmed."""

    helped: int
    unchanged: int
    harmed: int

    @classmethod
    def of(cls, gains: Sequence[float]) -> "GainShares":
        """Return the counts of these gains per query."""
        helped = sum(gain > UNCHANGED for gain in gains)
        harmed = sum(gain < -UNCHANGED for gain in gains)
        return cls(helped, len(gains) - helped - harmed, harmed)

    def __str__(self) -> str:
        total = self.helped + self.unchanged + self.harmed
        counts = (("helped", self.helped), ("unchanged", self.unchanged), ("harmed", self.harmed))
        return ", ".join(f"{name} {count} ({count / total:.0%})" for name, count in counts)


def gains_waterfall(gains: Sequence[float]) -> Markup:
    """Return every query's gain, largest first: bars above zero helped, below zero harmed."""
    ordered = sorted(gains, reverse=True)
    shown = (
        [ordered[round(i * (len(ordered) - 1) / (COLUMNS - 1))] for i in range(COLUMNS)]
        if len(ordered) > COLUMNS
        else ordered
    )
    low, high = min(0.0, ordered[-1]), max(0.0, ordered[0])
    y = Scale(low, high if high > low else low + 1.0, FLOOR, TOP)
    step = (RIGHT - LEFT) / len(shown)
    drawing = Drawing(
        "gains", "Gain per query, sorted", f"{len(gains)} queries: {GainShares.of(gains)}", HEIGHT
    )
    y_axis(drawing, y, nice_ticks(y.low, y.high))
    for css, part in (("helped", max), ("harmed", min)):
        outline: list[Point] = [(LEFT, y(0))]
        for i, gain in enumerate(shown):
            outline += [(LEFT + i * step, y(part(gain, 0.0))), (LEFT + (i + 1) * step, y(part(gain, 0.0)))]
        drawing.path([*outline, (RIGHT, y(0))], css, closed=True)
    drawing.line(LEFT, y(0), RIGHT, y(0), "zero")
    first, last = _end_labels(ordered[0], ordered[-1])
    drawing.text(LEFT, FLOOR + 18, first, "t muted")
    drawing.text(RIGHT, FLOOR + 18, last, "t muted", "end")
    return drawing.svg()


def _end_labels(best: float, worst: float) -> tuple[str, str]:
    """Return what the first and the last query of the order are, so that no unharmed one is called harmed."""
    first = "helped most" if best > UNCHANGED else "harmed least" if best < -UNCHANGED else "unchanged"
    last = "harmed most" if worst < -UNCHANGED else "helped least" if worst > UNCHANGED else "unchanged"
    return first, last


def y_axis(drawing: Drawing, y: Scale, ticks: Sequence[float]) -> None:
    """Add the lines and labels of these values."""
    for tick in ticks:
        drawing.line(LEFT, y(tick), RIGHT, y(tick), "grid")
        drawing.text(LEFT - 6, y(tick) + 4, compact(tick), "t muted", "end")
