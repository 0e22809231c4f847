"""Candidate pools: recall against latency per pool size, and the size at which an index leaves 2 ms."""

import math
from collections.abc import Sequence

from markupsafe import Markup
from pydantic import JsonValue

from tasks.report_model import Facts
from tasks.report_plots import FLOOR, LEFT, RIGHT, TOP, y_axis
from tasks.report_svg import Drawing, Scale, compact, log_ticks, nice_ticks

LIMIT_MS = 2.0
LEGEND = 22.0
Points = dict[str, list[tuple[float, float]]]
"""Index -> (P95 in ms, recall@100), by rising effort."""


def tradeoffs(pools: Sequence[Facts]) -> dict[int, tuple[Points, bool]]:
    """Return per pool size every index's measured points, and whether copies fill the pool up."""
    found: dict[int, tuple[Points, bool]] = {}
    for row in pools:
        size, curve = row.get("size"), _curve(row.get("curve"))
        if isinstance(size, int) and curve:
            copies = row.get("jittered_share")
            points, _ = found.setdefault(size, ({}, isinstance(copies, float) and copies > 0))
            points[str(row.get("index", "index"))] = curve
    return found


def _curve(value: JsonValue) -> list[tuple[float, float]]:
    points = []
    for point in value if isinstance(value, list) else []:
        if isinstance(point, list) and len(point) == 3:
            _, recall, ms = point
            if isinstance(recall, int | float) and isinstance(ms, int | float) and ms > 0:
                points.append((float(ms), float(recall)))
    return points


def tradeoff_plot(name: str, title: str, points: Points, copies: bool) -> Markup:
    """Return recall over P95 latency, a line per index; hollow marks are pools with copies."""
    every = [point for curve in points.values() for point in curve]
    said = "; ".join(
        f"{index}: " + ", ".join(f"recall {r:.3f} at {ms:.3g} ms" for ms, r in curve)
        for index, curve in points.items()
    )
    drawing = Drawing(name, title, said, FLOOR + LEGEND + 24)
    slowest, fastest = max(ms for ms, _ in every), min(ms for ms, _ in every)
    x = Scale(min(fastest, LIMIT_MS) / 1.3, max(slowest, LIMIT_MS) * 1.3, LEFT, RIGHT, log=True)
    low = min(recall for _, recall in every)
    y = Scale(low - 0.08 * (1.0001 - low), 1.0 + 0.06 * (1.0001 - low), FLOOR + LEGEND, TOP + LEGEND)
    y_axis(drawing, y, nice_ticks(y.low, 1.0))
    for tick in log_ticks(x.low, x.high):
        drawing.text(x(tick), FLOOR + LEGEND + 18, f"{compact(tick)} ms", "t muted", "middle")
    drawing.line(x(LIMIT_MS), TOP + LEGEND, x(LIMIT_MS), FLOOR + LEGEND, "baseline")
    at = LEFT
    for number, (index, curve) in enumerate(points.items()):
        drawing.path([(x(ms), y(recall)) for ms, recall in curve], f"curve dash-{number % 4}")
        for ms, recall in curve:
            drawing.mark(x(ms), y(recall), number, "mark hollow" if copies else "mark")
        drawing.mark(at + 5, 9, number, "mark")
        drawing.text(at + 14, 13, index, "t")
        at += 14 + 8 * len(index) + 18
    return drawing.svg()


def leaves_note(pools: Sequence[Facts]) -> str:
    """Return where each index leaves 2 ms, between two measured sizes or beyond the largest."""
    rows: dict[str, list[tuple[int, float]]] = {}
    for row in pools:
        size, ms = row.get("size"), row.get("p95_ms")
        if isinstance(size, int) and isinstance(ms, int | float) and ms > 0 and not row.get("skipped"):
            rows.setdefault(str(row.get("index", "index")), []).append((size, float(ms)))
    told = [f"{index} {_leaves(sorted(points))}" for index, points in rows.items()]
    return f"P95 leaves {LIMIT_MS:g} ms: {'; '.join(told)}." if told else ""


def _leaves(points: Sequence[tuple[int, float]]) -> str:
    over = next((number for number, (_, ms) in enumerate(points) if ms > LIMIT_MS), None)
    if over is None:
        return f"not up to {compact(points[-1][0])}"
    if over == 0:
        return f"already at {compact(points[0][0])}"
    (small, fast), (large, slow) = points[over - 1], points[over]
    share = math.log(LIMIT_MS / fast) / math.log(slow / fast)
    size = small * (large / small) ** share
    return f"at about {compact(float(f'{size:.1g}'))} (between {compact(small)} and {compact(large)})"
