"""How often are the judge's statistics wrong, where the truth is known?

`python -m benchmarks.calibration [--repeats 8000] [--quick] [--seed 1]`, about four minutes on one core.
Differences per query are drawn with a known mean (`calibration_draws`) and given to the judge's own functions,
the gain first (`calibration_gains`). Every figure is a percentage of the repeats; a line with a limit counts
as outside it beyond 3 standard errors of the simulation. Where the mean is less than one standard error
above 0 the gain counts as not met without asking. What costs more per repeat is repeated less: see "of".
"""

import argparse
import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks import calibration_draws as draws
from benchmarks.calibration_gains import ANY, SD, SIZES, Line, false_gains, met, percent, power, selection
from benchmarks.record import keep, table
from nightshift.states import CriterionState, Metric
from schedules.plan import Criterion
from verdict.criteria import judge_compliance
from verdict.modality import judge_modality
from verdict.statistics import (
    cluster_means,
    harmed,
    minimum_detectable_effect,
    percentile_upper_bound,
    t_interval,
    widened_sd,
)

Floats = NDArray[np.float64]
KEPT = Criterion(metric=Metric.COMPLIANCE_AT_1, kept_within=0.02)
DOMAINS, LOSS, WIN = 8, 1 / math.log2(3) - 1 / math.log2(5), 1 - 1 / math.log2(3)
"""Sub-domains; what a hurt query loses and a helped one wins by permuting, in nDCG@10."""


def compliance(repeats: int, seed: int) -> list[Line]:
    """Return how often Compliance@1 counts as kept, at 10 % discordance."""
    fewer = max(60, repeats // 10)

    @cache
    def kept(right: int, same: int, wrong: int) -> bool:
        return judge_compliance(KEPT, *draws.tops(right, same, wrong)).state is CriterionState.MET

    def rates(loss: float) -> dict[int, float]:
        shares, found = (0.05 - loss / 2, 0.9, 0.05 + loss / 2), {}
        for n in (*SIZES, 1550):
            counts = np.random.default_rng([seed, n]).multinomial(n, shares, repeats if n < 500 else fewer)
            found[n] = percent([kept(*(int(count) for count in row)) for row in counts])
        return found

    name = "Compliance@1 kept within .02"
    return [
        Line(name, "though exactly .02 is lost", rates(0.02), fewer, 5.0),
        Line(name, "and nothing is lost", rates(0.0), fewer, wanted="80 at 1550"),
    ]


def modalities(repeats: int, seed: int) -> list[Line]:
    """Return how often a modality is called USED and NOT USED, at known drops."""
    fewer = max(60, repeats // 6)

    @cache
    def state(hurt: int, same: int, helped: int) -> str:
        return judge_modality(*draws.scored_split(hurt, same, helped), "text", seed, within_s=0.0).state

    lines = []
    for drop in (0.0, 0.01, 0.015, 0.03):
        for helped, what in ((0.02, "2 % of queries helped"), (0.0, "no query helped")):
            hurt, states = (drop + helped * WIN) / LOSS, {}
            for n in (60, 120):
                shares = (hurt, 1 - hurt - helped, helped)
                counts = np.random.default_rng([seed, n]).multinomial(n, shares, fewer)
                states[n] = np.array([state(*(int(count) for count in row)) for row in counts])
            for called, wrong in (("USED", drop == 0), ("NOT USED", drop >= 0.01)):
                found = {n: percent(each == called) for n, each in states.items()}
                case = f"at a true drop of {drop:g}, {what}"
                lines.append(Line(f"modality {called}", case, found, fewer, 2.5 if wrong else None))
    return lines


def latencies(repeats: int, seed: int) -> list[Line]:
    """Return how often the true P95 is above the bound that 1,000 calls give."""
    rng = np.random.default_rng(seed)
    slow = rng.random((repeats, 1000)) < 0.1
    drawn = {
        "log-normal": (rng.lognormal(0, 0.4, (repeats, 1000)), float(stats.lognorm.ppf(0.95, 0.4))),
        "bimodal, 10 % three times as slow": (
            np.where(slow, rng.normal(3, 0.3, slow.shape), rng.normal(1, 0.1, slow.shape)),
            3.0,
        ),
    }
    return [
        Line(
            "P95 above its upper bound",
            name,
            {1000: percent([percentile_upper_bound(row, 0.95) < true for row in rows])},
            repeats,
            5.0,
        )
        for name, (rows, true) in drawn.items()
    ]


def intervals(repeats: int, seed: int) -> list[Line]:
    """Return the t interval's errors, the power at the minimum detectable effect, the errors of a widened sd."""
    normal, lognormal = draws.normal, draws.POSITIVE["log-normal"]
    below, above, wide = (
        "true mean below the t interval",
        "true mean above the t interval",
        "sd above its bound",
    )
    power = "power at the minimum detectable effect"
    lines = []

    def add(
        name: str, case: str, shape: draws.Shape, judge: Callable[[Floats], bool], **rest: object
    ) -> None:
        fewer, found = max(60, repeats // 6), {}
        for n in SIZES:
            rows = SD * shape(np.random.default_rng([seed, n]), (fewer, n))
            found[n] = percent([judge(row) for row in rows])
        lines.append(Line(name, case, found, fewer, **rest))  # type: ignore[arg-type]

    add(below, "normal", normal, lambda v: t_interval(v).low > 0, limit=2.5)
    add(above, "normal", normal, lambda v: t_interval(v).high < 0, limit=2.5)
    add(below, "-log-normal", draws.mirrored(lognormal), lambda v: t_interval(v).low > 0)
    add(above, "-log-normal", draws.mirrored(lognormal), lambda v: t_interval(v).high < 0, limit=2.5)
    add(power, "t interval", normal, lambda v: t_interval(shifted(v)).low > 0, wanted="80")
    add(power, "MET, asked > 0", normal, lambda v: bool(met(ANY, shifted(v)[None])[0]), wanted="80")
    add(wide, "normal", normal, lambda v: widened_sd(v.std(ddof=1), v.size) < SD, limit=5.0)
    add(wide, "log-normal", lognormal, lambda v: widened_sd(v.std(ddof=1), v.size) < SD)
    return lines


def shifted(values: Floats) -> Floats:
    """Return the differences with the gain that so many queries should show with 80 % power."""
    return values + minimum_detectable_effect(SD, values.size)


def near_duplicates(repeats: int, seed: int) -> list[Line]:
    """Return the interval's error where every query comes one to four times, counted so and as clusters."""
    fewer, found = max(60, repeats // 3), {"each counted": {}, "one mean per cluster": {}}
    for n in SIZES:
        rng = np.random.default_rng([seed, n])
        rows = []
        for values in SD * rng.normal(0, 1, (fewer, n)):
            keys = np.repeat(np.arange(n), rng.integers(1, 5, n))
            each = values[keys] + 0.02 * rng.normal(0, 1, keys.size)
            rows.append((t_interval(each).low > 0, t_interval(cluster_means(each, keys.tolist())).low > 0))
        for place, name in enumerate(found):
            found[name][n] = percent([row[place] for row in rows])
    name, (counted, clusters) = "near-duplicates: true mean below the interval", found.items()
    return [Line(name, *counted, fewer), Line(name, *clusters, fewer, 2.5)]


def sub_domains(repeats: int, seed: int) -> list[Line]:
    """Return how often any of eight sub-domains is called harmed: none is, or one loses .1."""
    fewer, lines = max(60, repeats // 10), []
    everything = {**draws.SYMMETRIC, **draws.POSITIVE}
    for name, lost in [*((name, 0.0) for name in everything), ("normal", 0.1)]:
        found = {}
        for n in (10, *SIZES[:3]):
            rows = SD * everything[name](np.random.default_rng([seed, n]), (fewer, DOMAINS, n))
            rows[:, 0] -= lost
            found[n] = percent([bool(harmed({str(i): row[i] for i in range(DOMAINS)})) for row in rows])
        what = f"one of {DOMAINS} loses {lost:g}" if lost else f"none of {DOMAINS} is"
        lines.append(Line("sub-domain called harmed", f"{what}: {name}", found, fewer, None if lost else 5.0))
    return lines


TABLES = (
    false_gains,
    power,
    selection,
    compliance,
    modalities,
    latencies,
    intervals,
    near_duplicates,
    sub_domains,
)


def main() -> None:
    """Draw, judge, print each statistic's table as it is ready, and keep them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=8000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repeats")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    repeats = asked.repeats // 10 if asked.quick else asked.repeats
    lines: list[Line] = []
    for number, make in enumerate(TABLES):
        made = make(repeats, 100 * asked.seed + 10 * number)
        print(f"{make.__doc__}\n\n{table([line.row() for line in made])}\n", flush=True)
        lines += made
    limited = [line for line in lines if line.limit is not None]
    outside = [f"{line.statistic}, {line.case}" for line in limited if line.outside()]
    error = 100 * math.sqrt(0.025 * 0.975 / repeats)
    keep(
        "calibration",
        f"Errors of the judge's statistics at known truths, % of repeats (--repeats {repeats} --seed {asked.seed})",
        [line.row() for line in lines],
        f"{len(limited) - len(outside)} of {len(limited)} lines keep within their limit, or above it by less than "
        f"3 standard errors (one is {error:.2f} points at 2.5 % of {repeats:,} repeats). "
        f"Outside: {'; '.join(outside) or 'none'}. Lines without a limit show power, or what no rule promises",
        ("numpy", "scipy"),
    )


if __name__ == "__main__":
    main()
