"""`nightshift simulate`: thousands of nights in a minute, with everything that goes wrong in them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.cli.output import AsJson, err, out, print_json
from flows.request import load_plan
from nightshift.states import NightError
from schedules.plan_source import find_night
from tasks.fault_model import read_models
from tasks.simulate import night_budget, scripts, simulate_profile
from tasks.simulated_forecast import score_forecasts

WAYS = {"cron": "a cron script", "retries": "retries only", "time_limit": "a time limit, no refit"}


def simulate_command(
    nights: Annotated[int, typer.Option("--nights", help="Nights per profile.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="The same seed draws the same nights.")] = 1,
    faults: Annotated[
        Path | None, typer.Option("--faults", help="TOML with a table of probabilities per profile.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="A plan file; the built-in one without it.")
    ] = None,
    night: Annotated[str, typer.Option("--night", help="The night of the plan to simulate.")] = "",
    forecast: Annotated[
        bool, typer.Option("--forecast", help="Also score the bedtime forecast of every night.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Simulate nights: the real planning and supervision under a virtual clock, with drawn faults."""
    if nights < 1:
        raise NightError(f"--nights {nights}: give at least 1")
    loaded, _ = load_plan(plan)
    budget = night_budget(loaded, find_night(loaded, night) if night else loaded.nights[0])
    profiles = []
    for name, model in read_models(faults).items():
        with err.status(f"{name}: {nights} nights"):
            profile = {"profile": name, **simulate_profile(model, budget, nights, seed)}
            if forecast:
                profile["forecast"] = score_forecasts(budget, scripts(model, budget, nights, seed))
            profiles.append(profile)
    document = {"seed": seed, "nights": nights, "night": budget.table.night.name, "profiles": profiles}
    if as_json:
        print_json(document)
    else:
        _show(document)


def _show(document: dict[str, object]) -> None:
    for profile in document["profiles"]:  # type: ignore[attr-defined]
        possible = profile["possible"]
        table = Table(
            title=f"{profile['profile']}: {document['nights']} nights, {possible} possible, seed {document['seed']}",
            title_justify="left",
        )
        for column in ("run by", "missed", "p99 late", "useful share"):
            table.add_column(column, justify="left" if column == "run by" else "right")
        rows = [("nightshift", profile), *((WAYS[k], v) for k, v in profile["baselines"].items())]
        for name, row in rows:
            late = row["p99_lateness_s"]
            table.add_row(
                name,
                f"{row['missed']} ({row['missed'] / possible:.1%})" if possible else "-",
                f"{late:.0f} s" if late < 120 else f"{late / 60:.0f} min",
                f"{row['useful_share_of_bound']:.1%}",
            )
        out.print(table)
        if "forecast" in profile:
            _show_forecast(profile["forecast"])
    out.print(
        "possible: the machine was there long enough for the plan, and the code could train for 10 minutes; missed: no "
        "model handed over by the deadline; useful share: training in those models over the most that physics allowed",
        style="dim",
    )


def _show_forecast(scores: dict[str, object]) -> None:
    table = Table(
        title=f"bedtime forecast: {scores['looked_at']} looked at, {scores['doomed']} doomed",
        title_justify="left",
    )
    for column in ("forecast", "80 % range holds", "doomed called", "false alarms"):
        table.add_column(column, justify="left" if column == "forecast" else "right")
    naive = scores["naive"]
    for name, row in (("nightshift", scores), ("naive extrapolation", naive)):
        values = [row[key] for key in ("coverage_80", "recall_doomed", "false_alarms")]  # type: ignore[index]
        table.add_row(name, *("-" if value is None else f"{value:.1%}" for value in values))
    out.print(table)
