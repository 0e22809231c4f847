"""Readings of time: with `schedules/clock.py`, the only place that touches the `time` module.

Trainers import nothing but this package, and a rehearsal's trainers must agree with the
nightwatch on what time it is; so the readings live here and `Clock` is built on them.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime_s() -> float:
    """Return seconds since boot, suspend included (CLOCK_MONOTONIC would stop while asleep)."""
    return time.clock_gettime(_BOOTTIME)


def monotonic_s() -> float:
    """Return seconds that pass only while the machine is awake."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def wall_now() -> datetime:
    """Return the machine's wall time, aware, UTC."""
    return datetime.now(UTC)


def parse_utc(text: str) -> datetime:
    """Return the instant that an ISO 8601 text names, in UTC.

    Raises ValueError for a text without an offset: a bare local time names no instant.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset")
    return instant.astimezone(UTC)


@dataclass(frozen=True)
class RehearsalTime:
    """A compressed night: at boot-time second `boot_s` it was `origin`, and time runs `speed` times."""

    origin: datetime
    boot_s: float
    speed: float

    @classmethod
    def parse(cls, text: str) -> "RehearsalTime":
        """Return the time that `NIGHT_CLOCK` names: `ORIGIN|BOOT_SECONDS|SPEED`."""
        origin, boot_s, speed = text.split("|")
        return cls(parse_utc(origin), float(boot_s), float(speed))

    def __str__(self) -> str:
        return f"{self.origin.isoformat()}|{self.boot_s!r}|{self.speed!r}"

    def now(self) -> datetime:
        """Return the rehearsal's present, aware, UTC."""
        return self.origin + timedelta(seconds=(boottime_s() - self.boot_s) * self.speed)
