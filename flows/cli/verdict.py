"""`nightshift judge` and `nightshift report`: a finished run, judged or rendered again."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.output import AsJson, err, out, print_json
from nightshift.checkpoint import write_atomically
from nightshift.rundir import RunDir
from nightshift.states import NightError, Word
from tasks.launch import nightwatch_alive
from tasks.report import write_report
from verdict.judge import judge_run

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder: runs/<date>/<night>.")]
EXIT_CODES = {Word.GO: 0, Word.NO_GAIN: 10, Word.PAUSE_AND_FIX: 20, Word.STOP: 30}


def _finished_run(path: Path) -> RunDir:
    if not path.is_dir():
        raise NightError(f"{path}: there is no such folder; give a run like runs/2026-11-24/fusion")
    run = RunDir(path.resolve())
    if not run.seal.exists():
        raise NightError(
            f"{path}: no readable seal here, so this is no run; give one like runs/2026-11-24/fusion"
        )
    if nightwatch_alive(run):
        raise NightError(f"{path}: this night is still running; it is judged at its hand-over")
    return run


def judge_command(run: RunArgument, as_json: AsJson = False) -> None:
    """Judge a run again; exits 0 GO, 10 NO_GAIN, 20 PAUSE_AND_FIX, 30 STOP."""
    chosen = _finished_run(run)
    with err.status("judging"):
        verdict = judge_run(chosen)
    chosen.judge.mkdir(exist_ok=True)
    write_atomically(chosen.verdict, verdict.model_dump_json(indent=1))
    report = write_report(chosen)
    if as_json:
        print_json({"nights": [report.model_dump(mode="json")]})
    else:
        out.print(f"{verdict.word}  {verdict.sentence}", highlight=False, markup=False, soft_wrap=True)
        for finding in verdict.criteria:
            line = f"  {finding.state:<12} {finding.name} {finding.asked}: {finding.reason}"
            out.print(line, highlight=False, markup=False, soft_wrap=True)
        out.print(f"next: {verdict.next_step}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(EXIT_CODES[verdict.word])


def report_command(run: RunArgument, as_json: AsJson = False) -> None:
    """Write a run's report again from its folder alone."""
    chosen = _finished_run(run)
    report = write_report(chosen)
    if as_json:
        print_json({"nights": [report.model_dump(mode="json")]})
    else:
        out.print(str(chosen.report_html), highlight=False, markup=False, soft_wrap=True)
