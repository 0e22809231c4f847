"""The night as bars: what was planned against what happened, in local time."""

from datetime import datetime
from zoneinfo import ZoneInfo

from markupsafe import Markup

from nightshift.states import Ending
from tasks.report_model import NightReport, StageReport
from tasks.report_svg import WIDTH, Drawing, Scale, time_ticks

LEFT, RIGHT = 4.0, WIDTH - 4.0
ROW, BAR, TOP = 52.0, 11.0, 8.0
LETTER, BOLD_LETTER = 7.1, 7.9
"""Widths of an average letter of the widest common fonts, in user units."""


def timeline(report: NightReport) -> Markup | None:
    """Return planned against actual, two bars a stage, or None where no time is known."""
    zone = ZoneInfo(report.timezone)
    known = _instants(report)
    if len(known) < 2 or max(known) == min(known):
        return None
    start, end = min(known), max(known)
    x = Scale(start.timestamp(), end.timestamp(), LEFT, RIGHT)
    floor = TOP + ROW * len(report.stages)
    said = "; ".join(_spoken(stage, zone) for stage in report.stages)
    drawing = Drawing("timeline", "Timeline: planned against actual", said, floor + 24)
    for tick, label in time_ticks(start, end, zone):
        at = x(tick.timestamp())
        drawing.line(at, TOP, at, floor, "grid")
        drawing.hour(at, floor + 16, label)
    for instant, css in ((report.deadline, "deadline"), (report.handed_over_at, "handed")):
        if instant:
            drawing.line(x(instant.timestamp()), TOP, x(instant.timestamp()), floor, css)
    for index, stage in enumerate(report.stages):
        _row(drawing, stage, TOP + ROW * index, x, report.deadline or end)
    return drawing.svg()


def _instants(report: NightReport) -> list[datetime]:
    own = [report.window_start, report.deadline, report.handed_over_at]
    stages = [
        at
        for stage in report.stages
        for at in (stage.planned_start, stage.planned_end, stage.start, stage.end)
    ]
    return [instant for instant in [*own, *stages] if instant]


def _row(drawing: Drawing, stage: StageReport, top: float, x: Scale, night_end: datetime) -> None:
    told = _told(stage)
    room = int((RIGHT - LEFT - len(told) * LETTER - 16) / BOLD_LETTER)
    title = stage.title if len(stage.title) <= room else f"{stage.title[: room - 1].rstrip()}…"
    drawing.text(LEFT, top + 12, title, "t strong halo")
    drawing.text(RIGHT - 6, top + 12, told, "t muted halo", "end")
    if stage.planned_start and stage.planned_end:
        left, right = x(stage.planned_start.timestamp()), x(stage.planned_end.timestamp())
        drawing.rect(left, top + 18, right - left, BAR, "planned")
    if stage.start:
        left, right = x(stage.start.timestamp()), x((stage.end or night_end).timestamp())
        drawing.rect(left, top + 31, right - left, BAR, "actual" if stage.end else "actual open")


def _told(stage: StageReport) -> str:
    if stage.ending is Ending.STOPPED_AT_DEADLINE:
        return "cut at deadline"
    if stage.ending:
        return stage.ending.replace("_", " ").lower()
    return "running" if stage.start else "no record"


def _spoken(stage: StageReport, zone: ZoneInfo) -> str:
    def between(start: datetime | None, end: datetime | None) -> str:
        sides = [f"{at.astimezone(zone):%H:%M}" if at else "?" for at in (start, end)]
        return " to ".join(sides)

    planned, actual = between(stage.planned_start, stage.planned_end), between(stage.start, stage.end)
    return f"{stage.title}: planned {planned}, was {actual if stage.start else 'not started'}"
