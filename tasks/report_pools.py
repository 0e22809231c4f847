"""Candidate pools: recall and latency over the pool's size, one line per index, and their table."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from pydantic import JsonValue

from tasks.report_model import Facts
from tasks.report_plots import FLOOR, LEFT, RIGHT, TOP, y_axis
from tasks.report_svg import Drawing, Scale, compact, log_ticks, nice_ticks

SIZES, RECALLS, LATENCIES = ("size", "pool", "items"), ("recall_at_100", "recall"), ("p95_ms",)
LEGEND = 22.0
WIDE = 10.0
"""Values that differ by more than this factor go on a logarithmic axis."""
UNTABLED = ("predicted_bytes", "predicted_s", "measured_s", "skipped", "curve")


@dataclass(frozen=True)
class PoolPoint:
    """One measured figure of one index over one pool."""

    index: str
    size: float
    value: float
    copies: bool
    """Whether the pool was filled up with noisy copies of real items."""


def pool_points(pools: Sequence[Facts], names: Sequence[str]) -> list[PoolPoint]:
    """Return the measured points of the first of these figures each row has; skipped rows have none."""
    points = []
    for row in pools:
        size, value = _number(row, SIZES), _number(row, names)
        if size and size > 0 and value is not None and not row.get("skipped"):
            copies = (_number(row, ("jittered_share",)) or 0) > 0
            points.append(PoolPoint(str(row.get("index", "index")), size, value, copies))
    return sorted(points, key=lambda point: point.size)


def pool_plot(name: str, title: str, points: Sequence[PoolPoint], unit: str) -> Markup:
    """Return one figure over pool size on a logarithmic axis; hollow marks are pools with copies."""
    said = ", ".join(f"{p.index} {p.value:.4g}{unit} at {compact(p.size)}" for p in points)
    drawing = Drawing(name, title, said, FLOOR + LEGEND + 24)
    sizes = sorted({point.size for point in points})
    x = Scale(sizes[0], sizes[-1], LEFT + 18, RIGHT - 18, log=True)
    y, ticks = _y_scale([point.value for point in points])
    y_axis(drawing, y, ticks)
    for size in sizes:
        drawing.text(x(size), FLOOR + LEGEND + 18, compact(size), "t muted", "middle")
    at = LEFT
    for number, index in enumerate(dict.fromkeys(point.index for point in points)):
        series = [point for point in points if point.index == index]
        drawing.path([(x(p.size), y(p.value)) for p in series], f"curve dash-{number % 4}")
        for point in series:
            drawing.mark(x(point.size), y(point.value), number, "mark hollow" if point.copies else "mark")
        drawing.mark(at + 5, 9, number, "mark")
        drawing.text(at + 14, 13, index, "t")
        at += 14 + 8 * len(index) + 18
    return drawing.svg()


def _y_scale(values: Sequence[float]) -> tuple[Scale, list[float]]:
    low, high = min(values), max(values)
    if low > 0 and high / low > WIDE:
        y = Scale(low / 1.4, high * 1.4, FLOOR + LEGEND, TOP + LEGEND, log=True)
        return y, log_ticks(y.low, y.high)
    margin = (high - low) * 0.15 or abs(high) * 0.05 or 1.0
    y = Scale(low - margin, high + margin, FLOOR + LEGEND, TOP + LEGEND)
    return y, nice_ticks(y.low, y.high)


def pool_table(pools: Sequence[Facts]) -> list[Facts]:
    """Return the rows to show: a skipped one keeps what it is and why, never its figures of zero."""
    shown: list[Facts] = []
    for row in pools:
        kept = {key: value for key, value in row.items() if key not in UNTABLED}
        if row.get("skipped"):
            named = {key: value for key, value in kept.items() if key in (*SIZES, "index")}
            kept = named | {"note": f"not measured: {row['skipped']}"}
        shown.append(kept)
    return shown


def copies_note(pools: Sequence[Facts]) -> str:
    """Return the sentence that says which pools are not real items only, or an empty text."""
    shares: dict[float, float] = {}
    for row in pools:
        size, share = _number(row, SIZES), _number(row, ("jittered_share",))
        if size and share and share > 0:
            shares[size] = share
    if not shares:
        return ""
    told = ", ".join(f"{share:.0%} at {compact(size)}" for size, share in sorted(shares.items()))
    return f"Hollow marks: the pool is filled up with copies of real items with noise added ({told})."


def _number(row: Facts, names: Sequence[str]) -> float | None:
    def plain(value: JsonValue) -> float | None:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    return next((number for name in names if (number := plain(row.get(name))) is not None), None)
