"""What others have asked of the nightwatch, shared between its socket threads and its own."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from nightshift.instant import boottime_s, parse_utc


class NightBoard:
    """Requests and finished steps; `wake_fd` becomes readable whenever something is asked."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asked: set[str] = set()
        self._done: set[str] = set()
        self._followers = 0
        self._heard_s = boottime_s()
        self.stop_asked = False
        self.hand_over_asked: datetime | None = None
        self.wake_fd, self._wake = os.pipe()
        os.set_blocking(self.wake_fd, False)

    @contextmanager
    def follower(self, step: str) -> Iterator[None]:
        """Count somebody as following, from asking for `step` until they are gone."""
        with self._changed:
            self._asked.add(step)
            self._followers += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._followers -= 1
                self._heard_s = boottime_s()
                self._changed.notify_all()

    def ask_stop(self, at: str | None) -> None:
        """Ask for the hand-over at `at` (ISO 8601, UTC), or at once."""
        with self._changed:
            if at:
                self.hand_over_asked = parse_utc(at)
            else:
                self.stop_asked = True
            self._changed.notify_all()
        os.write(self._wake, b"!")

    def finish(self, step: str) -> None:
        """Say that a step is over."""
        with self._changed:
            self._done.add(step)
            self._changed.notify_all()

    def wait_done(self, step: str, timeout_s: float) -> bool:
        """Return whether the step is over, after at most `timeout_s` real seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: step in self._done, timeout_s)

    def wait_asked(self, step: str, silence_s: float) -> bool:
        """Return True when the step was asked for (or the night's end), False when all have been silent."""
        with self._changed:
            while step not in self._asked and not self.stop_asked:
                silent_s = boottime_s() - self._heard_s if self._followers == 0 else 0.0
                if silent_s >= silence_s:
                    return False
                self._changed.wait(max(0.05, silence_s - silent_s))
            return True

    def clear_wake(self) -> None:
        """Empty the wake pipe."""
        try:
            os.read(self.wake_fd, 4096)
        except BlockingIOError:
            return
