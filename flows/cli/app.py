"""The `nightshift` command: its commands, and the one place where a NightError becomes exit code 2."""

import sys

import typer

from flows.cli import (
    audit,
    automations,
    bundle,
    data,
    deploy,
    keep,
    live,
    machine,
    new,
    nights,
    plan,
    prune,
    resume,
    schedule,
    schema,
    simulate,
    support,
    verdict,
)
from flows.cli.output import err
from nightshift import __version__
from nightshift.states import NightError

app = typer.Typer(
    name="nightshift",
    help="Runs GPU research through the night: from 23:00 to a true report at 07:00.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Runs GPU research through the night: from 23:00 to a true report at 07:00."""


app.command("plan")(plan.plan_command)
app.command("check")(data.check_command)
app.command("new")(new.new_command)
app.command("doctor")(machine.doctor_command)
app.command("rehearse")(nights.rehearse_command)
app.command("run")(nights.run_command)
app.command("start")(schedule.start_command)
app.command("deploy")(deploy.deploy_command)
app.command("stop")(live.stop_command)
app.command("resume")(resume.resume_command)
app.command("watch")(live.watch_command)
app.command("bedtime")(live.bedtime_command)
app.command("morning")(live.morning_command)
app.command("keep")(keep.keep_command)
app.command("fetch")(bundle.fetch_command)
app.command("publish")(bundle.publish_command)
app.command("judge")(verdict.judge_command)
app.command("report")(verdict.report_command)
app.command("prune")(prune.prune_command)
app.command("simulate")(simulate.simulate_command)
app.command("audit")(audit.audit_command)
app.command("schema")(schema.schema_command)
app.command("automations")(automations.automations_command)
app.command("support")(support.support_command)


def main() -> None:
    """Run the command line; what a person can mend ends as one line and exit code 2."""
    try:
        app()
    except NightError as error:
        err.print(f"nightshift: {error}", style="bold", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
