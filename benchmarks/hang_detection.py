"""How soon is a hang seen, and is a working trainer ever taken for hung?

`python -m benchmarks.hang_detection [--hours 1000] [--hangs 1000] [--seed 1]`. The nightwatch's own supervision
hears simulated trainers, every step of them: step times are log-normal with a median of 0.05 to 20 s and a heavy
tail, with an evaluation every 500 steps and a checkpoint every 5 minutes; a trainer says at most two lines a second.
A hang comes at a uniform moment. Detection counts from the last sign of life to the first signal.
"""

import argparse
from datetime import UTC, datetime

import numpy as np

from benchmarks.record import keep
from nightshift.events import Event
from tasks.supervision import Standing, Supervision

AT = datetime(2026, 1, 1, tzinfo=UTC)
SAY_EVERY_S, SAVE_EVERY_S, EVALUATE_EVERY = 0.5, 300.0, 500
LOAD_S, GRACE_S = 30.0, 20.0
MEDIANS_S = (0.05, 0.2, 1.0, 5.0, 20.0)


class Hour:
    """One simulated hour of one trainer, heard by one supervision."""

    def __init__(self, median_s: float, rng: np.random.Generator, lasts_s: float) -> None:
        self.watch = Supervision(Standing(), GRACE_S)
        self.watch.begin(0.0)
        self.now_s = self.said_s = 0.0
        self.median_s, self.rng, self.lasts_s = median_s, rng, lasts_s
        self.steps: list[float] = []

    def say(self, kind: str, **fields: object) -> bool:
        """Say one line now; return whether the silence before it was taken for a hang."""
        false_alarm = self.watch.next_look_s() <= self.now_s
        self.watch.hear(Event(kind, AT, **fields), self.now_s, self.now_s)  # type: ignore[arg-type]
        self.said_s = self.now_s
        return false_alarm

    def play(self) -> bool:
        """Work to the end of the hour; return whether a working trainer was taken for hung."""
        alarms = [self.say("started"), self.say("phase", name="load")]
        self.now_s += LOAD_S * float(self.rng.lognormal(0, 0.5))
        alarms.append(self.say("phase", name="train"))
        saved_s, step = self.now_s, 0
        while self.now_s < self.lasts_s:
            seconds = self.median_s * float(self.rng.lognormal(0, 0.35))
            if self.rng.random() < 0.002:
                seconds *= float(self.rng.uniform(2, 4))  # a slow file, a garbage collection
            self.steps.append(seconds)
            self.now_s, step = self.now_s + seconds, step + 1
            if self.now_s - self.said_s >= SAY_EVERY_S:
                alarms.append(self.say("progress", step=step, samples=step))
            if step % EVALUATE_EVERY == 0:
                alarms += self._aside("evaluate", 20 * self.median_s + 5)
            if self.now_s - saved_s >= SAVE_EVERY_S:
                alarms += self._aside("checkpoint", 3.0)
                saved_s = self.now_s
        return any(alarms)

    def _aside(self, phase: str, usual_s: float) -> list[bool]:
        first = self.say("phase", name=phase)
        self.now_s += usual_s * float(self.rng.lognormal(0, 0.4))
        return [first, self.say("phase", name="train")]


def main() -> None:
    """Play, count, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=1000)
    parser.add_argument("--hangs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    rows: list[dict[str, object]] = []
    kills, worst = 0, 0.0
    for median_s in MEDIANS_S:
        rng = np.random.default_rng([asked.seed, int(median_s * 1000)])
        hours = asked.hours // len(MEDIANS_S)
        false_kills = sum(Hour(median_s, rng, 3600.0).play() for _ in range(hours))
        took, ratios = [], []
        for _ in range(asked.hangs // len(MEDIANS_S)):
            hour = Hour(median_s, rng, float(rng.uniform(600, 3600)))
            hour.play()
            took.append(hour.watch.next_look_s() - hour.said_s)
            ratios.append(took[-1] / max(60.0, 10 * float(np.percentile(hour.steps, 99))))
        kills, worst = kills + false_kills, max(worst, float(np.percentile(ratios, 95)))
        rows.append(
            {
                "median step s": median_s, "clean hours": hours, "false kills": false_kills, "hangs": len(took),
                "p50 s": float(np.median(took)), "p95 s": float(np.percentile(took, 95)),
                "p95 over max(60, 10 p99)": float(np.percentile(ratios, 95)),
            }
        )  # fmt: skip
        print(rows[-1], flush=True)
    keep(
        "hang_detection",
        f"Hangs seen by the nightwatch's supervision, simulated, seed {asked.seed}",
        rows,
        f"{kills} false kills in {asked.hours} clean hours; at the 95th percentile a hang is seen in at most "
        f"{worst:.2f} of max(60 s, 10 x p99 step)",
    )
    if kills or worst > 1:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
