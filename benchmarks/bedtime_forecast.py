"""Does the 80 % range of the bedtime forecast hold 80 % of nights, and does its word call the doomed ones?

`python -m benchmarks.bedtime_forecast [--nights 1000] [--seed 1]`. Every night of every profile is looked at once, at
23:45, by the code of the real check, as on a fresh install: no earlier night is known. Its percentiles were chosen on
seed 100, so give another one here.
"""

import argparse

from benchmarks.record import keep
from flows.request import load_plan
from tasks.fault_model import PROFILES
from tasks.simulate import night_budget, scripts
from tasks.simulated_forecast import score_forecasts


def main() -> None:
    """Look, compare, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    plan, _ = load_plan(None)
    budget = night_budget(plan, plan.nights[0])
    rows: list[dict[str, object]] = []
    for profile, model in PROFILES.items():
        scores = score_forecasts(budget, scripts(model, budget, asked.nights, asked.seed))
        naive = scores.pop("naive")
        assert isinstance(naive, dict)
        rows.append({"profile": profile, "forecast": "nightshift", **scores})
        rows.append({"profile": profile, "forecast": "naive", **naive})
        print(*rows[-2:], sep="\n", flush=True)
    keep(
        "bedtime_forecast",
        f"Bedtime forecast of {asked.nights} simulated nights per profile, seed {asked.seed}, no history",
        [{key: row.get(key, "") for key in rows[0]} for row in rows],
        "handed_over: possible nights that handed a model over in time, on which coverage is counted; doomed: nights "
        "that would have failed even if nothing had happened after bedtime",
        ("numpy",),
    )


if __name__ == "__main__":
    main()
