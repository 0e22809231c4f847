"""`nightshift fetch` and `nightshift publish`: last night's bundle, from wherever it was put."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.live import RunOption
from flows.cli.output import AsJson, OutOption, err, out, print_json
from flows.request import load_plan
from nightshift.checkpoint import write_atomically
from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.fetch import fetch
from tasks.forecast import newest_run
from tasks.publish import publish
from verdict.seal import read_seal


def fetch_command(
    night: Annotated[str, typer.Argument(metavar="NIGHT", help="The night's name in its plan.")],
    where: Annotated[
        str, typer.Option("--from", help="Where it was published; the plan's `publish` without it.")
    ] = "",
    plan: Annotated[Path | None, typer.Option("--plan", help="A plan file.")] = None,
    target: Annotated[Path, typer.Option("--to", help="Folder that the bundle is put into.")] = Path(
        "nights"
    ),
    as_json: AsJson = False,
) -> None:
    """Take the newest bundle of a night, verified: weights, word, report, proofs."""
    source = where or load_plan(plan)[0].publish
    if not source:
        raise NightError("nowhere to fetch from: give --from, or --plan with a plan that has `publish`")
    with err.status(f"fetching {night}"):
        found = fetch(source, night, target)
    if as_json:
        print_json(asdict(found))
        return
    out.print(f"{found.word}  {found.sentence}", highlight=False, soft_wrap=True)
    out.print(f"  {found.files} files, verified: {found.folder}", highlight=False, soft_wrap=True)


def publish_command(
    run: RunOption = None,
    runs: OutOption = Path("runs"),
    where: Annotated[
        str, typer.Option("--where", help="Where to; the `publish` of the night's own plan without it.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Publish a night's bundle again, or somewhere else; what is there already is not sent again."""
    chosen = RunDir(run) if run else newest_run(runs)
    target = where or read_seal(chosen).plan.publish
    if not target:
        raise NightError("nowhere to publish: give --where, or a plan with `publish`")
    with err.status("publishing"):
        told = publish(chosen, target)
    write_atomically(chosen.published, told)
    if as_json:
        print_json({"run_dir": str(chosen.path), "published": told})
    else:
        out.print(told, highlight=False, soft_wrap=True)
