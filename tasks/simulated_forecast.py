"""The bedtime forecast on simulated nights: does its range hold what it promises, does it call the doomed ones?

Each night is looked at once, at its bedtime check, by the code of the real check; then it goes on, and what came of
it is compared. A night is doomed where it would have handed over no model even if nothing else had happened after
bedtime: what ends it was there to be seen. The naive forecast extrapolates: a stage that has not started takes its
planned time, give or take a tenth, and a night is trouble where training has not begun.
"""

from dataclasses import dataclass, replace

from nightshift.states import Ending
from schedules.budget import Budget
from tasks.fault_model import INF, Script
from tasks.forecast_model import SLEEP, NightSeen, Range, Signs, StageSeen, forecast_times, trouble, word_for
from tasks.simulate import JUDGE_S, LATE_S
from tasks.simulated_night import HAND_OVER_S, NightResult, SimulatedNight, bound

NAIVE_MARGIN = 0.1
WELL = (Ending.FINISHED, Ending.STOPPED_AT_DEADLINE)


@dataclass(frozen=True)
class Said:
    """What was said of one night at bedtime."""

    hand_over: Range
    """Seconds after the night's start."""
    word: str
    naive_hand_over: Range
    naive_word: str
    work: float
    """Training work that was done by then."""


def bedtime_s(budget: Budget) -> float:
    """Return the second of the bedtime check after the night's start."""
    return (budget.table.bedtime - budget.table.window.start).total_seconds()


def look(night: SimulatedNight) -> Said:
    """Return what is said of a night as it stands."""
    now_s = night.now_s
    stages = _stages(night)
    seen = NightSeen(stages, JUDGE_S, HAND_OVER_S, night.hand_over_s - now_s)
    times = forecast_times(seen)
    naive_s = sum(
        s.planned_s if not s.started else max(0.0, s.planned_s - s.spent_s) for s in stages if not s.ended
    )
    trains = any(stage.elastic and (stage.started or stage.ended) for stage in stages)
    here = Range(
        *(now_s + value for value in (times.hand_over.low, times.hand_over.middle, times.hand_over.high))
    )
    naive = Range(*(now_s + (1 + share) * naive_s for share in (-NAIVE_MARGIN, 0.0, NAIVE_MARGIN)))
    word, _ = word_for(_signs(night))
    work = night.trainer.work if night.trainer and night.trainer.trains else 0.0
    return Said(here, word, naive, SLEEP if trains else "ACT", max(work, night.saved_work))


def _stages(night: SimulatedNight) -> tuple[StageSeen, ...]:
    slots = night.budget.table.slots
    elastic = next(i for i, slot in enumerate(slots) if slot.stage.elastic)
    seen = []
    for index, slot in enumerate(slots):
        name = slot.stage.name
        began_s = night.began_s.get(name)
        planned = max(night.clock.now(), slot.start)
        deadline = night.budget.deadline(index, planned if began_s is None else night.instant(began_s))
        seen.append(
            StageSeen(
                name,
                elastic=slot.stage.elastic,
                behind=index > elastic,
                planned_s=60 * slot.planned_minutes,
                deadline_s=(deadline - night.clock.now()).total_seconds(),
                started=began_s is not None,
                ended=name in night.endings,
                spent_s=night.now_s - began_s if began_s is not None else 0.0,
            )
        )
    return tuple(seen)


def _signs(night: SimulatedNight) -> Signs:
    if night.machine.up(night.now_s) > night.now_s:
        return Signs(dead="Nobody answers: the machine is off or gone.")
    bad = [f"{name} ended as {ending}" for name, ending in night.endings.items() if ending not in WELL]
    if bad:
        return Signs(broken=bad[0])
    return (
        trouble(night.supervision.standing, night.supervision.pace, night.now_s)
        if night.supervision
        else Signs()
    )


def without_later(script: Script, at_s: float, work: float) -> Script:
    """Return the night in which nothing more happens from this second on, with this much work done."""

    def before(value: float, mark: float) -> float:
        return value if value <= mark else INF

    return replace(
        script,
        slow=script.slow if script.slow and script.slow[0] <= at_s else None,
        gpu_stop_s=before(script.gpu_stop_s, at_s),
        code_error_work=before(script.code_error_work, work),
        oom_work=before(script.oom_work, work),
        nan_work=before(script.nan_work, work),
        hang_s=before(script.hang_s, at_s),
        full=tuple(span for span in script.full if span[0] <= at_s),
        down=tuple(span for span in script.down if span[0] <= at_s),
        asleep=tuple(span for span in script.asleep if span[0] <= at_s),
        watch_killed_s=before(script.watch_killed_s, at_s),
    )


def _failed(result: NightResult) -> bool:
    return not result.judged or result.useful_s == 0 or result.late_s > LATE_S


def score_forecasts(budget: Budget, scripts: list[Script]) -> dict[str, object]:
    """Return how the forecasts of these nights did, `naive` beside them."""
    at_s = bedtime_s(budget)
    inside, naive_inside, handed, calls, naive_calls = 0, 0, 0, [], []
    for script in scripts:
        said: list[Said] = []
        result = SimulatedNight(budget, script, lambda night: said.append(look(night)), at_s).run()  # noqa: B023
        possible, _ = bound(budget, script)
        if possible and not _failed(result):
            handed += 1
            inside += said[0].hand_over.low <= result.handed_over_s <= said[0].hand_over.high
            naive_inside += (
                said[0].naive_hand_over.low <= result.handed_over_s <= said[0].naive_hand_over.high
            )
        doomed = _failed(SimulatedNight(budget, without_later(script, at_s, said[0].work)).run())
        calls.append((doomed, said[0].word != SLEEP))
        naive_calls.append((doomed, said[0].naive_word != SLEEP))
    return {
        "looked_at": len(calls),
        "handed_over": handed,
        "doomed": sum(doomed for doomed, _ in calls),
        "coverage_80": round(inside / handed, 4) if handed else None,
        **_called(calls),
        "naive": {"coverage_80": round(naive_inside / handed, 4) if handed else None, **_called(naive_calls)},
    }


def _called(calls: list[tuple[bool, bool]]) -> dict[str, float | None]:
    doomed = [called for is_doomed, called in calls if is_doomed]
    sound = [called for is_doomed, called in calls if not is_doomed]
    return {
        "recall_doomed": round(sum(doomed) / len(doomed), 4) if doomed else None,
        "false_alarms": round(sum(sound) / len(sound), 4) if sound else None,
    }
