"""Numbers and instants as a half-awake person reads them."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from nightshift.states import CriterionState, Metric, Word
from tasks.report_model import NightReport
from verdict.finding import Finding
from verdict.wording import NAMES

GAINS = (Metric.VALIDATION_NDCG, Metric.COMPLIANCE_AT_1, Metric.CANDIDATE_RECALL_AT_100)
LABELS = {
    "n": "queries",
    "ndcg_at_10": "nDCG@10",
    "ndcg_at_10_v1": "nDCG@10 of V1.0",
    "recall_at_100": "recall@100",
    "recall_at_100_text_search": "recall@100 of text search",
    "recall_at_10": "recall@10",
    "recall_at_10_text_search": "recall@10 of text search",
    "pool_recall_at_10": "recall@10 inside the judged pools",
    "pool_recall_at_10_v1": "the same of V1.0",
    "between_seeds_sd": "spread between seeds (sd)",
    "selection_optimism": "selection optimism (validation minus test)",
    "text_p50_ms": "P50 from the bare text (ms)",
    "text_p95_ms": "P95 from the bare text (ms)",
    "text_path": "path from the bare text",
    "ndcg_at_10_low": "nDCG@10, lower bound",
    "ndcg_at_10_high": "nDCG@10, upper bound",
    "gain_low": "gain, lower bound",
    "gain_high": "gain, upper bound",
    "left_out": "queries left out",
    "v1": "baseline",
    "selection_score": "the trainer's own score",
    "p50_ms": "P50 (ms)",
    "p95_ms": "P95 (ms)",
    "p95_upper_ms": "P95, upper bound (ms)",
    "p99_ms": "P99 (ms)",
    "pool": "pool size",
    "size": "pool size",
    "jittered_share": "share of noisy copies",
    "meets_recall_target": "meets the target",
    "build_s": "build (s)",
    "busy_low_pct": "busy at least (%)",
    "busy_high_pct": "busy at most (%)",
    "mfu": "share of the device's measured ceiling used (MFU)",
    "goodput": "work per second beside that of the best minute (goodput)",
    "p5_pct": "busy, 5th percentile (%)",
    "p50_pct": "busy, median (%)",
    "p95_pct": "busy, 95th percentile (%)",
    "processors_active_pct": "processors active (%)",
    "least_free_memory_gib": "least free memory (GiB)",
    "throttled_share": "share of samples throttled",
    "energy_kwh": "energy (kWh)",
    "idle_gaps": "idle for more than 5 s (times, real seconds)",
}
"""Keys of the document whose words are not simply the key's."""
UNITS = {Metric.INFERENCE_MS: " ms", Metric.GPU_UTILISATION_PCT: " %"}
NOT_A_VALUE = "no value"
KIBI = 1024


@dataclass(frozen=True)
class CriterionLine:
    """One criterion, in the pieces of its one line."""

    name: str
    asked: str
    required: bool
    state: str
    """`Met`, `Not measured`."""
    css: str
    """`met`, `not-measured`: also the name of its shape."""
    value: str
    range: str
    n: str
    reason: str
    believed: bool
    """Whether the value may be used; one that may not is struck out."""


def criterion_line(finding: Finding, word: Word) -> CriterionLine:
    """Return the line of one criterion on a night of this word."""
    state = finding.state.replace("_", " ").capitalize()
    return CriterionLine(
        name=capital(NAMES[finding.name]),
        asked=finding.asked,
        required=finding.required,
        state=state,
        css=state.lower().replace(" ", "-"),
        value=NOT_A_VALUE
        if finding.value is None
        else _figure(finding.name, finding.value) + _unit(finding.name),
        range=_range(finding),
        n="" if finding.n is None else f"n = {finding.n:,}",
        reason=capital(_without_figures(finding)),
        believed=finding.state is not CriterionState.INVALID and word is not Word.STOP,
    )


def capital(text: str) -> str:
    """Return the text with a capital first letter, except for words like nDCG."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def _without_figures(finding: Finding) -> str:
    """Return the reason from where it stops repeating the range that stands beside it."""
    if finding.low is None or finding.high is None:
        return finding.reason
    _, found, rest = finding.reason.partition(f"[{finding.low:+.4f}, {finding.high:+.4f}]")
    rest = rest.lstrip(";:, ")
    return rest if found and rest else finding.reason


def _figure(metric: Metric, value: float) -> str:
    if metric is Metric.GPU_UTILISATION_PCT:
        return f"{value:.0f}"
    if metric is Metric.INFERENCE_MS:
        return f"{value:.2f}"
    return f"{value:+.4f}" if metric in GAINS else f"{value:.4f}"


def _unit(metric: Metric) -> str:
    return UNITS.get(metric, "")


def _range(finding: Finding) -> str:
    if finding.low is None or finding.high is None:
        return ""
    low, high = _figure(finding.name, finding.low), _figure(finding.name, finding.high)
    if finding.name is Metric.INFERENCE_MS:
        return f"P50 {low}, P99 {high}"
    return f"[{low}, {high}]"


def clock_time(at: datetime | None, zone: str) -> str:
    """Return the local wall time of an instant, `06:56`, or `not known`."""
    return f"{at.astimezone(ZoneInfo(zone)):%H:%M}" if at else "not known"


def long_date(text: str) -> str:
    """Return an ISO date in words, or the text itself where it is none."""
    try:
        return f"{date.fromisoformat(text):%A, %-d %B %Y}"
    except ValueError:
        return text


def file_size(size: int) -> str:
    """Return a size in bytes, KiB, MiB or GiB."""
    value, units = float(size), ["bytes", "KiB", "MiB", "GiB"]
    while value >= KIBI and len(units) > 1:
        value, units = value / KIBI, units[1:]
    return f"{value:.0f} bytes" if units[0] == "bytes" else f"{value:.1f} {units[0]}"


def label(key: str) -> str:
    """Return the words for a key of the document."""
    return LABELS.get(key, key.replace("_", " ").replace("ndcg", "nDCG"))


def fact(value: JsonValue) -> str:
    """Return a fact of a table as text; numbers with 4 significant digits, nothing as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) >= 1000):
        return f"{int(value):,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{label(name)} {fact(item)}" for name, item in value.items())
    return value if isinstance(value, str) else "; ".join(fact(item) for item in value)


def score(value: JsonValue) -> str:
    """Return a figure of a score table, 4 decimals, so that a column lines up."""
    return f"{value:.4f}" if isinstance(value, float) else fact(value)


def handed_over_line(report: NightReport) -> str:
    """Return when the night was handed over, and whether in time."""
    due = clock_time(report.deadline, report.timezone)
    if report.handed_over_at is None:
        return f"not handed over; due {due}"
    at = clock_time(report.handed_over_at, report.timezone)
    if report.on_time is None:
        return f"handed over {at}"
    return f"handed over {at}, on time" if report.on_time else f"handed over {at}, LATE: due {due}"


def rehearsal_line(report: NightReport) -> str:
    """Return the plain warning that this night was compressed, or an empty text."""
    if report.speed is None:
        return "Whether this was a real night or a rehearsal is not known."
    if not report.rehearsed:
        return ""
    night = "a night"
    if report.window_start and report.deadline:
        night = night_of((report.deadline - report.window_start).total_seconds() / 60)
    took = ""
    if report.window_start and report.handed_over_at:
        minutes = (report.handed_over_at - report.window_start).total_seconds() / 60
        took = f" It took {minutes / report.speed:.1f} real minutes."
    return f"Rehearsal: {night} compressed {report.speed:g} times.{took}"


def night_of(minutes: float) -> str:
    """Return a night of this length with its article: `an 8-hour night`, `a 20-minute night`."""
    number, unit = (f"{minutes / 60:.3g}", "hour") if minutes >= 60 else (f"{minutes:.0f}", "minute")
    article = "an" if number.startswith("8") or number.split(".")[0] in ("11", "18") else "a"
    return f"{article} {number}-{unit} night"


def utc_text(at: datetime) -> str:
    """Return an instant as ISO 8601 UTC to the second, for machines."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
