"""The night on a terminal: stages, time left, loss; a Rich display on a terminal, plain lines elsewhere."""

from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.cli.output import err
from nightshift.instant import parse_utc
from nightshift.rundir import RunDir
from schedules.clock import Clock, SystemClock
from schedules.window import resolve_zone
from tasks.launch import NightRequest
from tasks.night_status import HANDED_OVER, NightStatus, StageStatus, read_status
from tasks.night_words import local, state_told, values_told
from verdict.seal import SealError, read_seal


class NightView:
    """Shows one running night on stderr."""

    def __init__(self, run: RunDir, request: NightRequest) -> None:
        self.run, self.request = run, request
        self.zone = resolve_zone(request.plan.timezone)
        self.clock: Clock | None = None
        self.live = Live(console=err, refresh_per_second=4, transient=True) if err.is_terminal else None
        self.said: set[str] = set()

    def __enter__(self) -> Self:
        if self.live:
            self.live.start()
        else:
            err.print(f"{self.request.night.title}: opening", highlight=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def show(self) -> None:
        """Show the night as it stands now."""
        status = read_status(self.run.status)
        if status is None:
            if self.live:
                self.live.update(Text(f"{self.request.night.title}: opening"))
            return
        if self.live:
            self.live.update(night_panel(status, self._now(status), self.zone))
        else:
            self._say_news(status)

    def _now(self, status: NightStatus) -> datetime:
        if self.clock is None:
            try:
                self.clock = read_seal(self.run).make_clock()
            except SealError:
                return SystemClock().now()
        return parse_utc(status.handed_over_at) if status.handed_over_at else self.clock.now()

    def _say_news(self, status: NightStatus) -> None:
        for stage in status.stages:
            if stage.ending:
                self._once(f"{stage.title}: {state_told(stage)} {values_told(stage)}")
            elif stage.start:
                self._once(f"{stage.title}: started {local(stage.start, self.zone)}")
        for note in status.notes:
            self._once(f"{local(note.at, self.zone)} {note.text}")
        if status.state == HANDED_OVER:
            self._once(f"handed over {local(status.handed_over_at, self.zone)}: {status.word}")

    def _once(self, text: str) -> None:
        if text not in self.said:
            self.said.add(text)
            err.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)


def span(minutes: float) -> str:
    """Return a length of night in hours and minutes."""
    whole = max(0, round(minutes))
    return f"{whole // 60}:{whole % 60:02d} h" if whole >= 60 else f"{whole} min"


def night_panel(status: NightStatus, now: datetime, zone: ZoneInfo, width: int = 80) -> RenderableType:
    """Return the night as one screen: who it is, how long to hand-over, one line per stage, last notes."""
    hand_over = parse_utc(status.hand_over)
    left = span((hand_over - now).total_seconds() / 60)
    speed = "" if status.speed == 1 else f"  x{status.speed:g}"
    if status.state == HANDED_OVER:
        head = Text(
            f"{status.title}  handed over {local(status.handed_over_at, zone)}: {status.word}", style="bold"
        )
    else:
        head = Text(f"{status.title}  {now.astimezone(zone):%H:%M}  {left} to hand-over{speed}", style="bold")
    grid = Table.grid(padding=(0, 1))
    for stage in status.stages:
        grid.add_row(*_stage_row(stage, zone))
    notes = [Text(f"{local(note.at, zone)} {note.text}", style="dim") for note in status.notes[-3:]]
    return Group(head, grid, *_wind_down(status), *notes)


def _stage_row(stage: StageStatus, zone: ZoneInfo) -> Sequence[RenderableType]:
    times = f"{local(stage.planned_start, zone)}-{local(stage.planned_end, zone)}"
    return (
        escape(stage.title[:22]),
        times,
        ProgressBar(total=100, completed=100.0 * stage.done, width=10),
        state_told(stage),
        values_told(stage),
    )


def _wind_down(status: NightStatus) -> list[Text]:
    step = status.step
    return [Text(f"now: {step}")] if step in ("judge", "hand-over", "report") and not status.word else []
