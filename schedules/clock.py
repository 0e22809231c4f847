"""One Clock: the night's, a rehearsal's, or one that moves only when waited on."""

import os
import threading
from datetime import datetime, timedelta
from typing import Protocol

from nightshift.instant import RehearsalTime, boottime_s, wall_now

LONGEST_SLEEP_S = 20.0
"""Python waits on a clock that stops during suspend; waking this often bounds how late we notice."""


class Clock(Protocol):
    """Tells the night's time (aware, UTC) and waits in it."""

    speed: float
    """Night seconds per real second."""

    def now(self) -> datetime:
        """Return the present, aware, UTC."""
        ...

    def wait_until(self, instant: datetime, event: threading.Event | None = None) -> bool:
        """Return when `instant` has come (False) or `event` was set before (True)."""
        ...


def _wait(clock: Clock, instant: datetime, event: threading.Event | None) -> bool:
    flag = event or threading.Event()
    while not flag.is_set():
        left = real_seconds_until(clock, instant)
        if left <= 0:
            return False
        flag.wait(min(left, LONGEST_SLEEP_S))
    return True


class SystemClock:
    """A real night: wall time."""

    speed = 1.0

    def now(self) -> datetime:
        """Return the machine's wall time, UTC."""
        return wall_now()

    def wait_until(self, instant: datetime, event: threading.Event | None = None) -> bool:
        """Return False at `instant`, or True as soon as `event` is set."""
        return _wait(self, instant, event)


class RehearsalClock:
    """A compressed night, the same in every process that is given `spec`."""

    def __init__(self, time: RehearsalTime) -> None:
        self.time = time
        self.speed = time.speed

    @classmethod
    def starting(cls, origin: datetime, speed: float) -> "RehearsalClock":
        """Return a clock that shows `origin` now and runs `speed` times as fast as real time."""
        return cls(RehearsalTime(origin, boottime_s(), speed))

    @property
    def spec(self) -> str:
        """The text for `NIGHT_CLOCK`."""
        return str(self.time)

    def now(self) -> datetime:
        """Return the rehearsal's present, UTC."""
        return self.time.now()

    def wait_until(self, instant: datetime, event: threading.Event | None = None) -> bool:
        """Return False at `instant` of the rehearsal, or True as soon as `event` is set."""
        return _wait(self, instant, event)


class ManualClock:
    """For simulations: waiting takes no time and moves the clock."""

    speed = 1.0

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the instant last waited for."""
        return self._now

    def wait_until(self, instant: datetime, event: threading.Event | None = None) -> bool:
        """Move to `instant`, unless `event` is set already; the clock never goes back."""
        if event is not None and event.is_set():
            return True
        self._now = max(self._now, instant)
        return False


def real_seconds_until(clock: Clock, instant: datetime) -> float:
    """Return the real seconds until `instant`, negative when it is past."""
    return (instant - clock.now()).total_seconds() / clock.speed


def real_duration(clock: Clock, seconds: float) -> timedelta:
    """Return the night time that `seconds` of real time take: what does not compress in a rehearsal."""
    return timedelta(seconds=seconds * clock.speed)


def clock_from(spec: str | None) -> Clock:
    """Return the clock that `NIGHT_CLOCK` names, or the real night's where it names none."""
    return RehearsalClock(RehearsalTime.parse(spec)) if spec else SystemClock()


def environment_clock() -> Clock:
    """Return the clock of this process's environment."""
    return clock_from(os.environ.get("NIGHT_CLOCK"))
