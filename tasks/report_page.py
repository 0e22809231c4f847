"""What the page and the Markdown are filled with: lines, tables, drawings, and what is missing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape
from pydantic import JsonValue

from tasks.report_figures import Figure, curve_figures, gains_figure, pool_figures
from tasks.report_model import Facts, NightReport
from tasks.report_pools import copies_note, pool_table
from tasks.report_seconds import seconds_bar, seconds_rows
from tasks.report_timeline import timeline
from tasks.report_tradeoff import leaves_note
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

PHONE_REASON = 80
"""Letters of a reason that a narrow phone surely shows in its three lines, figures before it."""
CODE_NAME = re.compile(r"`([^`]+)`")
MARKDOWN_SIGNS = re.compile(r"([\\`*_\[\]|~])")


@dataclass(frozen=True)
class Page:
    """Everything the templates show besides the report itself."""

    lines: tuple[CriterionLine, ...]
    long_reasons: tuple[CriterionLine, ...]
    """Those whose reason is cut short on a phone's first screen."""
    handed_over: str
    rehearsal: str
    timeline: Markup | None
    seconds: Markup | None
    seconds_rows: list[tuple[str, str, str, str]]
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
        lines = tuple(criterion_line(finding, report.word) for finding in report.criteria)
        return cls(
            lines=lines,
            long_reasons=tuple(line for line in lines if len(line.reason) > PHONE_REASON),
            handed_over=handed_over_line(report),
            rehearsal=rehearsal_line(report),
            timeline=timeline(report),
            seconds=seconds_bar(report),
            seconds_rows=seconds_rows(report),
            curves=curve_figures(report),
            gains=gains_figure(report.per_query_gains),
            pools=pool_figures(report.pools),
            pool_rows=pool_table(report.pools),
            pool_note=" ".join(filter(None, (leaves_note(report.pools), copies_note(report.pools)))),
            missing=tuple(_missing(report)),
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
        (report.curves.get("loss"), "a loss curve: no trainer reported `loss`"),
        (report.curves.keys() - {"loss"}, "a validation curve: no trainer reported `val_ndcg_at_10`"),
    )
    return [text for piece, text in pieces if not piece]


def score_rows(scores: dict[str, Facts]) -> list[tuple[str, list[str]]]:
    """Return one row per plain figure that any split has: label, then one text per split."""
    told = dict.fromkeys(
        key
        for split in scores.values()
        for key, value in split.items()
        if isinstance(value, list | dict | str)
    )
    plain = dict.fromkeys(key for split in scores.values() for key in split if key not in told)
    return [(label(key), [score(split.get(key)) for split in scores.values()]) for key in plain]


def score_notes(scores: dict[str, Facts]) -> list[str]:
    """Return what the splits say in words, a sentence each: where V1.0 comes from."""
    said = ((split, key, value) for split, facts in scores.items() for key, value in facts.items())
    notes = [
        f"{capital(label(key))} on {split}: {value}" for split, key, value in said if isinstance(value, str)
    ]
    return notes + [note for split, facts in scores.items() if (note := _over_reference(split, facts))]


def _over_reference(split: str, facts: Facts) -> str:
    """Return the paired difference to what a user would pick instead, or an empty text."""
    other = facts.get("over_reference")
    if not isinstance(other, dict):
        return ""
    seeds = other.get("seeds")
    return (
        f"Against {other.get('reference')} on {split} ({seeds} seed{'' if seeds == 1 else 's'}, "
        f"nDCG@10 {score(other.get('ndcg_at_10'))}): paired difference {score(other.get('difference'))} "
        f"[{score(other.get('low'))}, {score(other.get('high'))}]"
    )


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


def prose(text: str) -> Markup:
    """Return a sentence as HTML: escaped, with `names` between backticks set as code."""
    return Markup(CODE_NAME.sub(r"<code>\1</code>", str(escape(text))))


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
        "prose": prose,
    }
    environment.globals |= {"score_rows": score_rows, "score_notes": score_notes, "columns": columns}
    return environment


def render_campaign(campaign: object) -> str:
    """Return the campaign's page, from a `tasks.campaign_page.Campaign`."""
    return _environment().get_template("campaign.html.j2").render(campaign=campaign)


def render(report: NightReport, template: str) -> str:
    """Return the report through one of the package's templates, `report.html.j2` or `report.md.j2`."""
    return _environment().get_template(template).render(report=report, page=Page.of(report))
