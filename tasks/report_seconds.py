"""Where the night's seconds went: one bar, and the largest loss that could be avoided."""

from datetime import datetime
from zoneinfo import ZoneInfo

from markupsafe import Markup

from nightshift.instant import parse_utc
from nightshift.rundir import RunDir
from tasks.night_seconds import AVOIDABLE, Spent, asleep, largest_avoidable, read_seconds, totals
from tasks.report_model import NightReport, SecondsReport
from tasks.report_records import SealRecord
from tasks.report_svg import WIDTH, Drawing, Scale, time_ticks
from verdict.ledger import LedgerError, read_ledger

LOST = (Spent.RESTART, Spent.LOST, Spent.HANG, Spent.ASLEEP, Spent.WAIT)
LEFT, RIGHT, TOP, BAR = 4.0, WIDTH - 4.0, 6.0, 30.0


def seconds_report(run: RunDir, seal: SealRecord | None, end: datetime | None) -> SecondsReport:
    """Return where the seconds between the window's start and its hand-over went; empty where nobody knows."""
    if seal is None or seal.window.start is None or end is None:
        return SecondsReport()
    try:
        entries = read_ledger(run.ledger, seal.nonce)
    except (OSError, LedgerError):
        return SecondsReport()
    handed = [parse_utc(entry.at) for entry in entries if entry.kind == "handed-over"]
    seconds = read_seconds(
        run, [stage.name for stage in seal.night.stages], seal.window.start, max([end, *handed]), entries
    )
    asleep(seconds, entries, seal.speed)
    pieces = seconds.pieces()
    sums = totals(pieces)
    return SecondsReport(
        totals={spent: round(value, 3) for spent, value in sums.items()},
        pieces=tuple((begin, ended, str(spent)) for begin, ended, spent in pieces),
        avoidable=avoidable_sentence(sums),
    )


def avoidable_sentence(sums: dict[Spent, float]) -> str:
    """Return the largest avoidable loss in words, or that there was none."""
    loss = largest_avoidable(sums)
    if loss is None:
        return "Nothing of the night was lost."
    spent, seconds = loss
    return f"Largest avoidable loss: {spent}, {spoken(seconds)}; {AVOIDABLE[spent]}."


def spoken(seconds: float) -> str:
    """Return a length of time for reading."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def seconds_bar(report: NightReport) -> Markup | None:
    """Return the night as one bar: what was of use in the night's colour, losses hatched dark, or None."""
    pieces = report.seconds.pieces
    if not pieces:
        return None
    zone = ZoneInfo(report.timezone)
    start, end = pieces[0][0], pieces[-1][1]
    x = Scale(start.timestamp(), end.timestamp(), LEFT, RIGHT)
    said = "; ".join(f"{name} {spoken(value)}" for name, value in report.seconds.totals.items())
    drawing = Drawing("seconds", "Where the seconds went", said, TOP + BAR + 22)
    for begin, ended, spent in pieces:
        left, right = x(begin.timestamp()), x(ended.timestamp())
        drawing.rect(left, TOP, right - left, BAR, f"spent {css_of(spent)}")
    for tick, label in time_ticks(start, end, zone):
        drawing.hour(x(tick.timestamp()), TOP + BAR + 16, label)
    return drawing.svg()


def css_of(spent: str) -> str:
    """Return the kind of a class: work, around it, or lost."""
    kinds = {Spent.TRAIN: "sp-work", Spent.IDLE: "sp-idle"}
    return kinds.get(Spent(spent), "sp-loss" if Spent(spent) in LOST else "sp-around")


def seconds_rows(report: NightReport) -> list[tuple[str, str, str, str]]:
    """Return one row per class, largest first: css, name, length, share."""
    sums = report.seconds.totals
    whole = sum(sums.values()) or 1.0
    ordered = sorted(sums.items(), key=lambda pair: -pair[1])
    return [(css_of(name), name, spoken(value), f"{value / whole:.1%}") for name, value in ordered]
