"""`nightshift resume`: a night whose machine went down goes on; also what the boot unit runs."""

from datetime import timedelta
from pathlib import Path

from flows.cli.live import HomeOption, RunOption, chosen_run
from flows.cli.output import AsJson, out, print_json
from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.handoff import read_handoff
from tasks.launch import nightwatch_alive, start_nightwatch
from verdict.seal import read_seal

TOO_OLD = timedelta(hours=24)
"""A night that should have handed over so long ago is history; `--run` resumes it all the same."""


def interrupted(run: RunDir) -> bool:
    """Return whether this night has begun, was not handed over, and nobody keeps it."""
    return run.ledger.exists() and read_handoff(run) is None and not nightwatch_alive(run)


def interrupted_runs(home: Path) -> list[RunDir]:
    """Return the nights of this home that should go on, oldest first."""
    runs = [RunDir(path.parent.resolve()) for path in sorted(home.glob("*/*/seal.json"))]
    found = []
    for run in runs:
        seal = read_seal(run)
        if interrupted(run) and seal.make_clock().now() < seal.window.hand_over + TOO_OLD:
            found.append(run)
    return found


def resume_command(run: RunOption = None, home: HomeOption = Path("runs"), as_json: AsJson = False) -> None:
    """Go on with a night whose machine went down: trainers resume from their checkpoints."""
    if run is not None:
        chosen = chosen_run(run, home)
        if not interrupted(chosen):
            raise NightError(
                f"{chosen.path}: there is nothing to resume: it runs, is handed over or never began"
            )
        runs = [chosen]
    else:
        runs = interrupted_runs(home)
    for one in runs:
        start_nightwatch(one)
        if not as_json:
            out.print(f"goes on: {read_seal(one).night.title}, {one.path}", highlight=False, soft_wrap=True)
    if as_json:
        print_json({"resumed": [str(one.path) for one in runs]})
    elif not runs:
        out.print("no night was interrupted", highlight=False)
