"""Thousands of nights under a virtual clock: how many are handed over, how late, with how much of the possible.

Nights whose plan no machine could have kept (the session gone, the code broken at its first step) are not counted
as missed; `possible` says how many others there were.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

import numpy as np

from schedules.budget import NIGHT_GRACE_S, Budget, ProcessCosts
from schedules.plan import Night, Plan
from schedules.timetable import timetable
from tasks.fault_model import FaultModel, Script, draw
from tasks.simulated_baselines import BASELINES, Planned
from tasks.simulated_night import SimulatedNight, bound

LATE_S = 5.0
"""A hand-over that comes later than this after the deadline counts as missed."""
DAY = date(2026, 11, 25)
JUDGE_S = 180.0


@dataclass(frozen=True)
class Outcome:
    """One night of one way to run it."""

    possible: bool
    bound_s: float
    handed_over_s: float
    useful_s: float


@dataclass(frozen=True)
class Summary:
    """Many nights of one way to run them."""

    missed: int
    """Of the possible ones: no model handed over by the deadline."""
    p99_lateness_s: float
    """Over possible nights that handed over at all, late ones included; 0 is on time."""
    useful_share_of_bound: float
    """Training in models handed over in time, over the most that physics allowed."""


def summary(outcomes: Sequence[Outcome], deadline_s: float) -> Summary:
    """Return how these nights went."""
    possible = [one for one in outcomes if one.possible]
    in_time = [o for o in possible if o.useful_s > 0 and o.handed_over_s <= deadline_s + LATE_S]
    late = [max(0.0, o.handed_over_s - deadline_s) for o in possible if np.isfinite(o.handed_over_s)]
    most = sum(one.bound_s for one in possible)
    return Summary(
        missed=len(possible) - len(in_time),
        p99_lateness_s=round(float(np.percentile(late, 99)), 1) if late else 0.0,
        useful_share_of_bound=round(sum(o.useful_s for o in in_time) / most, 4) if most else 0.0,
    )


def night_budget(plan: Plan, night: Night, day: date = DAY) -> Budget:
    """Return the budget of a real night on this date."""
    table = timetable(plan, night, day)
    return Budget(table, table.window.hand_over, 1.0, ProcessCosts(grace_s=NIGHT_GRACE_S, judge_s=JUDGE_S))


def planned(budget: Budget) -> Planned:
    """Return what a baseline knows of the plan."""
    start = budget.table.window.start
    elastic = next(slot for slot in budget.table.slots if slot.stage.elastic)
    ends = [(instant - start).total_seconds() for instant in (elastic.start, elastic.end, budget.hand_over)]
    return Planned(*ends)


def scripts(model: FaultModel, budget: Budget, nights: int, seed: int) -> list[Script]:
    """Return the nights of this seed; night `i` is the same whatever else is asked."""
    night_s = (budget.hand_over - budget.table.window.start).total_seconds()
    return [draw(model, night_s, np.random.default_rng([seed, number])) for number in range(nights)]


def simulate_profile(model: FaultModel, budget: Budget, nights: int, seed: int) -> dict[str, object]:
    """Return one profile's entry of the document."""
    start = budget.table.window.start
    deadline_s = (budget.hand_over - start).total_seconds()
    ours: list[Outcome] = []
    others: dict[str, list[Outcome]] = {name: [] for name in BASELINES}
    restarts, plan = 0, planned(budget)
    for script in scripts(model, budget, nights, seed):
        possible, most = bound(budget, script)
        result = SimulatedNight(budget, script).run()
        restarts += result.restarts
        ours.append(Outcome(possible, most, result.handed_over_s, result.useful_s))
        for name, play in BASELINES.items():
            other = play(script, plan)
            others[name].append(Outcome(possible, most, other.handed_over_s, other.useful_s))
    return {
        "possible": sum(one.possible for one in ours),
        **asdict(summary(ours, deadline_s)),
        "restarts": restarts,
        "baselines": {name: asdict(summary(outcomes, deadline_s)) for name, outcomes in others.items()},
        "model": model.model_dump(),
    }
