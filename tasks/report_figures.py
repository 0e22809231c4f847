"""The drawings of the page with their captions; a night that lacks the figures gets no drawing."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tasks.report_model import Facts, NightReport
from tasks.report_plots import GainShares, curve, gains_waterfall
from tasks.report_pools import LATENCIES, RECALLS, pool_plot, pool_points
from tasks.report_svg import compact
from tasks.report_tradeoff import tradeoff_plot, tradeoffs
from tasks.report_words import clock_time, label

LOSS = "loss"
VALIDATION = {
    "val_ndcg_at_10": ("Validation nDCG@10", "V1.0", "ndcg_at_10_v1", "val_ndcg_at_10_v1"),
    "val_recall_at_100": (
        "Validation recall@100",
        "text search",
        "recall_at_100_text_search",
        "val_recall_at_100_bm25",
    ),
}
"""Metric -> title, the baseline's name, its key in the judged scores, the trainers' own curve of it."""
MOST_OTHERS = 2


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption."""

    caption: str
    detail: str
    svg: Markup


def curve_figures(report: NightReport) -> tuple[Figure, ...]:
    """Return the loss and the validation curve, or a few other metrics where no known one was reported."""
    known = [name for name in VALIDATION if report.curves.get(name)]
    names = known or [name for name in report.curves if name != LOSS][:MOST_OTHERS]
    return tuple(
        _curve(report, name, number) for number, name in enumerate([LOSS, *names]) if report.curves.get(name)
    )


def _curve(report: NightReport, name: str, number: int) -> Figure:
    points, zone = report.curves[name], report.timezone
    title = VALIDATION[name][0] if name in VALIDATION else "Training loss" if name == LOSS else label(name)
    svg = curve(f"curve-{number}", title, points, zone, _baseline(report, name))
    return Figure(title, f"{clock_time(points[0][0], zone)} to {clock_time(points[-1][0], zone)}", svg)


def _baseline(report: NightReport, name: str) -> tuple[str, float] | None:
    """Return name and value of what the metric is held against: judged, else as the trainer said."""
    if name not in VALIDATION:
        return None
    _, title, judged_key, own = VALIDATION[name]
    judged = report.scores.get("validation", {}).get(judged_key)
    if isinstance(judged, float):
        return title, judged
    told = report.curves.get(own)
    return (title, told[-1][1]) if told else None


def gains_figure(gains: Sequence[float]) -> Figure | None:
    """Return every query's gain, or None where none was judged."""
    if not gains:
        return None
    detail = f"{len(gains):,} queries: {GainShares.of(gains)}"
    return Figure("Gain per query, largest first", detail, gains_waterfall(gains))


def pool_figures(pools: Sequence[Facts]) -> tuple[Figure, ...]:
    """Return recall and latency over pool size, and one against the other, as far as they were measured."""
    asked = (
        ("pool-recall", "Recall@100 by pool size", "", RECALLS),
        ("pool-p95", "P95 latency in ms, by pool size", " ms", LATENCIES),
    )
    found = ((name, title, unit, pool_points(pools, keys)) for name, title, unit, keys in asked)
    sizes = tuple(
        Figure(title, "", pool_plot(name, title, points, unit))
        for name, title, unit, points in found
        if points
    )
    return sizes + tuple(
        Figure(title, "line: 2 ms", tradeoff_plot(f"trade-{size}", title, points, copies))
        for size, (points, copies) in sorted(tradeoffs(pools).items())
        if (title := f"Recall@100 by P95 latency, {compact(size)} items")
    )
