"""How many nights are handed over, beside a cron script, retries only and a plain time limit?

`python -m benchmarks.simulated_nights [--nights 1000] [--seed 1]`: `nightshift simulate`, kept with its date and model.
"""

import argparse

from benchmarks.record import keep
from nightshift.instant import boottime_s
from schedules.plan_source import BUILT_IN, read_plan
from tasks.fault_model import PROFILES
from tasks.simulate import night_budget, simulate_profile


def main() -> None:
    """Simulate, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    plan = read_plan(BUILT_IN)
    budget = night_budget(plan, plan.nights[0])
    rows: list[dict[str, object]] = []
    missed, began_s = 0, boottime_s()
    for name, model in PROFILES.items():
        found = simulate_profile(model, budget, asked.nights, asked.seed)
        missed += int(str(found["missed"]))
        others: dict[str, dict[str, object]] = found["baselines"]  # type: ignore[assignment]
        for way, figures in {"nightshift": found, **others}.items():
            rows.append(
                {
                    "profile": name, "possible": found["possible"], "run by": way, "missed": figures["missed"],
                    "p99 late s": figures["p99_lateness_s"], "useful share": figures["useful_share_of_bound"],
                }
            )  # fmt: skip
    took_s = boottime_s() - began_s
    models = "; ".join(f"{name}: {model.model_dump()}" for name, model in PROFILES.items())
    keep(
        "simulated_nights",
        f"{asked.nights} simulated nights per profile, seed {asked.seed}",
        rows,
        f"{missed} hand-overs missed where physics allowed one; {took_s:.0f} s for all. Fault model: {models}",
    )
    if missed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
