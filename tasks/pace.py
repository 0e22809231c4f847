"""How long a trainer may be silent, and how fast it is: learnt from the run itself, phase by phase.

Limits are real seconds; they do not compress in a rehearsal. A foreign trainer that says nothing is
never taken for hung: only its wall-clock limit ends it.
"""

from collections import deque
from dataclasses import dataclass, field

from nightshift.events import Event

UNKNOWN_S = 900.0
"""Before enough is known, and in `compile`: a first compilation takes minutes."""
FLOOR_S = {
    "setup": 300.0,
    "load": 300.0,
    "compile": 900.0,
    "train": 45.0,
    "evaluate": 45.0,
    "checkpoint": 120.0,
}
TIMES = 5.0
"""A silence of so many times what was usual is a hang."""
FEWEST_GAPS = 20
"""Gaps from which the 99th percentile is spoken of."""
FEWEST_TIMES = 3
"""Evaluations from which the longest of them says something about the next."""
KEPT_GAPS, COUNTED_EVERY = 500, 20
"""Gaps that are kept, and after how many new ones their percentile is counted again."""
RATE_WINDOW_S = 60.0
SLOW, SLOW_FOR_S = 0.75, 300.0
"""A rate below this share of the best sustained one is a slow-down, once it has lasted."""


@dataclass
class Pace:
    """What one stage's trainer has shown of itself; kept over its restarts."""

    phase: str = ""
    within_s: float = 0.0
    heard_s: float | None = None
    """Real second of the last sign of life, None where nothing was ever said."""
    said_s: float | None = None
    phase_began_s: float = 0.0
    times: dict[str, int] = field(default_factory=dict)
    """Phase -> how often it was gone through."""
    gaps: dict[str, deque[float]] = field(default_factory=dict)
    """Phase -> seconds between two signs of life, the latest of them."""
    counted: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Phase -> (gaps heard when it was counted, their 99th percentile)."""
    heard: dict[str, int] = field(default_factory=dict)
    lasted: dict[str, float] = field(default_factory=dict)
    """Phase -> longest time that was spent in it at once."""
    best_rate: float = 0.0
    marks: deque[tuple[float, float]] = field(default_factory=deque)
    """(second, samples) of the last window."""
    slow_since_s: float | None = None

    def begin(self, now_s: float) -> None:
        """Take note that a new process was started."""
        self.phase, self.within_s = "", 0.0
        self.heard_s = None if self.heard_s is None else now_s
        self.said_s = None
        self.marks.clear()

    def hear(self, event: Event, said_s: float, now_s: float) -> None:
        """Take note of a sign of life: said at one real second, heard at another."""
        if self.said_s is not None and event.kind != "phase":
            gaps = self.gaps.setdefault(self.phase, deque(maxlen=KEPT_GAPS))
            gaps.append(max(0.0, said_s - self.said_s))
            self.heard[self.phase] = self.heard.get(self.phase, 0) + 1
        self.said_s, self.heard_s = said_s, now_s
        if event.kind == "phase":
            spent = said_s - self.phase_began_s
            self.lasted[self.phase] = max(self.lasted.get(self.phase, 0.0), spent)
            self.times[self.phase] = self.times.get(self.phase, 0) + 1
            self.phase, self.within_s, self.phase_began_s = event.name, event.within_s, said_s
        elif event.kind == "progress":
            self._rate(said_s, float(event.samples))

    def slept(self, seconds: float) -> None:
        """Take note that the machine slept: nobody could be heard in that time."""
        if self.heard_s is not None:
            self.heard_s += seconds
        self.marks.clear()

    def limit_s(self) -> float:
        """Return how long the present silence may last."""
        if self.within_s:
            return self.within_s
        floor = FLOOR_S.get(self.phase, UNKNOWN_S)
        if self.phase == "train":
            usual = self._usual_s()
            return max(floor, UNKNOWN_S / 3) if usual is None else max(floor, TIMES * usual)
        known = self.lasted.get(self.phase)
        if known is None:
            return UNKNOWN_S if self.phase == "evaluate" else floor
        few = self.times[self.phase] < FEWEST_TIMES
        return max(UNKNOWN_S / 3 if few else floor, TIMES * known)

    def _usual_s(self) -> float | None:
        """Return the 99th percentile of the phase's gaps, None where there are too few; up to 20 gaps old."""
        heard = self.heard.get(self.phase, 0)
        if heard < FEWEST_GAPS:
            return None
        counted = self.counted.get(self.phase)
        if counted is None or heard - counted[0] >= COUNTED_EVERY:
            counted = self.counted[self.phase] = heard, p99(self.gaps[self.phase])
        return counted[1]

    def hung_from_s(self) -> float:
        """Return the second from which the present silence is a hang, infinity where nothing was ever said."""
        return float("inf") if self.heard_s is None else self.heard_s + self.limit_s()

    def _rate(self, at_s: float, samples: float) -> None:
        if self.marks and samples < self.marks[-1][1]:
            self.marks.clear()
        self.marks.append((at_s, samples))
        while len(self.marks) > 2 and at_s - self.marks[1][0] >= RATE_WINDOW_S:
            self.marks.popleft()
        rate = self.rate()
        if rate is None or rate >= SLOW * self.best_rate:
            self.slow_since_s = None
        elif self.slow_since_s is None:
            self.slow_since_s = at_s
        self.best_rate = max(self.best_rate, rate or 0.0)

    def rate(self) -> float | None:
        """Return samples per real second over the last minute, or None before there was one."""
        if len(self.marks) < 2:
            return None
        (first_s, first), (last_s, last) = self.marks[0], self.marks[-1]
        return (last - first) / (last_s - first_s) if last_s - first_s >= RATE_WINDOW_S else None

    @property
    def slow(self) -> bool:
        """Return whether it has been a quarter slower than at its best for five minutes."""
        since_s, last = self.slow_since_s, self.marks[-1][0] if self.marks else 0.0
        return since_s is not None and last - since_s >= SLOW_FOR_S


def p99(values: deque[float]) -> float:
    """Return the 99th percentile, the larger of two neighbours."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
