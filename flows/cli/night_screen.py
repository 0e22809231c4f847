"""`nightshift watch`: the whole night on one terminal screen, from 80x24 up; plain characters, so that ssh shows it."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.text import Text

from flows.cli.night_view import span
from nightshift.instant import parse_utc
from tasks.night_status import HANDED_OVER, NightStatus, StageStatus
from tasks.night_words import gpu_told, local, state_told, values_told

BARS = "▁▂▃▄▅▆▇█"
NARROWEST = 60
STAGE_STYLES = ("cyan", "green", "magenta", "yellow", "blue")
"""One per stage, in order; the letter below the line says the same without colour."""


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the values as one line of bars, oldest first; each column the mean of its part."""
    if not values:
        return ""
    columns = min(width, len(values))
    means = []
    for column in range(columns):
        part = values[column * len(values) // columns : (column + 1) * len(values) // columns]
        means.append(sum(part) / len(part))
    low, high = min(means), max(means)
    if high == low:
        return BARS[0] * columns
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in means)


def timeline(status: NightStatus, now: datetime, zone: ZoneInfo, width: int) -> list[Text]:
    """Return the night from start to hand-over: stages as a line, the present as a mark, times below."""
    start = parse_utc(status.stages[0].start or status.stages[0].planned_start)
    end = parse_utc(status.hand_over)
    whole = max(1.0, (end - start).total_seconds())

    def column(instant: datetime) -> int:
        share = (instant - start).total_seconds() / whole
        return max(0, min(width - 1, round(share * (width - 1))))

    cells = ["·"] * width
    styles = ["dim"] * width
    letters = [" "] * width
    for number, stage in enumerate(status.stages):
        begin = parse_utc(stage.start or stage.planned_start)
        until = parse_utc(stage.end or stage.deadline or stage.planned_end)
        first, last = column(begin), column(until)
        for at in range(first, last + 1):
            cells[at] = "━" if at <= column(now) and stage.start else "─"
            styles[at] = STAGE_STYLES[number % len(STAGE_STYLES)] if stage.start else "dim"
        for offset, letter in enumerate(stage.title[: max(0, last - first - 1)]):
            letters[first + offset] = letter
    mark = column(now)
    cells[mark], styles[mark] = "┃", "bold"
    line = Text()
    for cell, style in zip(cells, styles, strict=True):
        line.append(cell, style)
    left, right = f"{start.astimezone(zone):%H:%M}", f"{end.astimezone(zone):%H:%M}"
    times = Text(left + right.rjust(width - len(left)), style="dim")
    return [line, Text("".join(letters)), times]


def _stage_line(stage: StageStatus, zone: ZoneInfo, width: int) -> Text:
    begin = local(stage.start or stage.planned_start, zone)
    end = local(stage.end or stage.deadline or stage.planned_end, zone)
    again = f", {stage.restarts} restarts" if stage.restarts else ""
    text = f"{stage.title[:20]:20} {begin}-{end} {stage.done:4.0%} {state_told(stage)}{again}  {values_told(stage, 4)}"
    style = "bold" if stage.start and not stage.ending else "" if stage.ending else "dim"
    return Text(text[:width], style=style, no_wrap=True)


def _gpu_line(status: NightStatus) -> str:
    told = gpu_told(status)
    return f"{told}  {status.gpu}" if told else status.gpu or "not known yet"


def night_screen(
    status: NightStatus, losses: Sequence[float], now: datetime, zone: ZoneInfo, width: int, height: int
) -> RenderableType:
    """Return the night as one screen of this size: who, how long, stages, GPU, loss, and as many events as fit."""
    width = max(NARROWEST, width)
    if status.state == HANDED_OVER:
        told = f"handed over {local(status.handed_over_at, zone)}: {status.word}"
        now = parse_utc(status.handed_over_at)
    else:
        left = span((parse_utc(status.hand_over) - now).total_seconds() / 60)
        told = f"{now.astimezone(zone):%H:%M}, {left} to hand-over"
    speed = "" if status.speed == 1 else f"  (rehearsal, x{status.speed:g})"
    lines: list[Text] = [Text(f"{status.title}  {told}{speed}"[:width], style="bold"), Text("")]
    lines += timeline(status, now, zone, width)
    lines.append(Text(""))
    lines += [_stage_line(stage, zone, width) for stage in status.stages]
    if status.step in ("judge", "hand-over", "report") and not status.word:
        lines.append(Text(f"now: {status.step}", style="bold"))
    lines.append(Text(f"GPU   {_gpu_line(status)}"[:width]))
    if losses:
        figures = f" {losses[0]:.4g} to {losses[-1]:.4g}"
        lines.append(Text(f"loss  {sparkline(losses, width - 6 - len(figures))}{figures}"))
    lines.append(Text(""))
    room = max(1, height - len(lines) - 1)
    for note in status.notes[-room:]:
        text = f"{local(note.at, zone)} {note.text}"
        lines.append(Text(text if len(text) <= width else text[: width - 1] + "…", style="dim", no_wrap=True))
    return Group(*lines)
