"""What the page and the Markdown are filled with: lines, tables, drawings, and what is missing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from pydantic import JsonValue

from tasks.report_model import Facts, NightReport
from tasks.report_plots import GainShares, curve, gains_waterfall
from tasks.report_pools import LATENCIES, RECALLS, copies_note, pool_plot, pool_points, pool_table
from tasks.report_timeline import timeline
from tasks.report_words import (
    CriterionLine,
    capital,
    clock_time,
    criterion_line,
    fact,
    file_size,
    handed_over_line,
    label,
    long_date,
    rehearsal_line,
    score,
    utc_text,
)

MARKDOWN_SIGNS = re.compile(r"([\\`*_\[\]|~])")


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption; without a drawing, the caption says what is missing."""

    caption: str
    svg: Markup | None


@dataclass(frozen=True)
class Page:
    """Everything the templates show besides the report itself."""

    lines: tuple[CriterionLine, ...]
    handed_over: str
    rehearsal: str
    timeline: Markup | None
    curves: tuple[Figure, ...]
    gains: Figure | None
    pools: tuple[Figure, ...]
    pool_rows: list[Facts]
    pool_note: str
    missing: tuple[str, ...]
    """`not measured: ...` lines for what this night did not leave."""

    @classmethod
    def of(cls, report: NightReport) -> "Page":
        """Return the page of this report."""
        return cls(
            lines=tuple(criterion_line(finding, report.word) for finding in report.criteria),
            handed_over=handed_over_line(report),
            rehearsal=rehearsal_line(report),
            timeline=timeline(report),
            curves=_curves(report),
            gains=_gains(report.per_query_gains),
            pools=_pools(report.pools),
            pool_rows=pool_table(report.pools),
            pool_note=copies_note(report.pools),
            missing=tuple(_missing(report)),
        )


def _curves(report: NightReport) -> tuple[Figure, ...]:
    told, zone = report.curves, report.timezone
    figures = []
    if told.loss:
        figures.append(Figure("Training loss", curve("loss", "Training loss", told.loss, zone, None)))
    if told.val_ndcg_at_10:
        title = "Validation nDCG@10"
        figures.append(Figure(title, curve("validation", title, told.val_ndcg_at_10, zone, told.v1)))
    return tuple(figures)


def _gains(gains: Sequence[float]) -> Figure | None:
    return (
        Figure(f"{len(gains):,} queries: {GainShares.of(gains)}", gains_waterfall(gains)) if gains else None
    )


def _pools(pools: Sequence[Facts]) -> tuple[Figure, ...]:
    asked = (
        ("pool-recall", "Recall@100 by pool size", "", RECALLS),
        ("pool-p95", "P95 latency in ms, by pool size", " ms", LATENCIES),
    )
    found = ((name, title, unit, pool_points(pools, keys)) for name, title, unit, keys in asked)
    return tuple(
        Figure(title, pool_plot(name, title, points, unit)) for name, title, unit, points in found if points
    )


def _missing(report: NightReport) -> list[str]:
    pieces = (
        (report.criteria, "criteria: the judge answered none"),
        (report.scores, "scores on test and validation"),
        (report.per_query_gains, "gain per query"),
        (report.modalities, "what each modality adds"),
        (report.loss_facts, "the loss, recomputed"),
        (report.latency, "latency"),
        (report.pools, "candidate pools"),
        (report.curves.loss, "a loss curve: no trainer reported `loss`"),
        (report.curves.val_ndcg_at_10, "a validation curve: no trainer reported `val_ndcg_at_10`"),
    )
    return [text for piece, text in pieces if not piece]


def score_rows(scores: dict[str, Facts]) -> list[tuple[str, list[str]]]:
    """Return one row per plain figure that any split has: label, then one text per split."""
    keys = dict.fromkeys(key for split in scores.values() for key in split)
    plain = [
        key for key in keys if not any(isinstance(split.get(key), list | dict) for split in scores.values())
    ]
    return [(label(key), [score(split.get(key)) for split in scores.values()]) for key in plain]


def columns(rows: Sequence[Facts]) -> list[str]:
    """Return the keys that these rows have, in the order of their first appearance."""
    return list(dict.fromkeys(key for row in rows for key in row))


def markdown_text(text: JsonValue) -> str:
    """Return a text that Markdown shows as it is, in one line: no markup, no HTML, no cell border."""
    line = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"^(#|=|[+-](?=\s|$)|--)", r"\\\1", MARKDOWN_SIGNS.sub(r"\\\1", line))


@pass_context
def _local_clock(context: Context, at: datetime | None) -> str:
    """Return an instant in the time zone of the report that is being rendered."""
    return clock_time(at, context["report"].timezone)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tasks"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "clock": _local_clock,
        "size": file_size,
        "fact": fact,
        "score": score,
        "label": label,
        "capital": capital,
        "utc": utc_text,
        "date_words": long_date,
        "md": markdown_text,
    }
    environment.globals |= {"score_rows": score_rows, "columns": columns}
    return environment


def render(report: NightReport, template: str) -> str:
    """Return the report through one of the package's templates, `report.html.j2` or `report.md.j2`."""
    return _environment().get_template(template).render(report=report, page=Page.of(report))
