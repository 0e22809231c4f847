"""`nightshift support`: what a bug report needs, in one archive."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.live import HomeOption, RunOption, chosen_run
from flows.cli.output import AsJson, out, print_json
from tasks.support import write_bundle


def support_command(
    run: RunOption = None,
    home: HomeOption = Path("runs"),
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The archive to write; support-DATE-NIGHT.tar.gz here without it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write an archive for a bug report: records and logs of a night, no data, no weights, no secrets."""
    chosen = chosen_run(run, home)
    target = to or Path(f"support-{chosen.path.parent.name}-{chosen.path.name}.tar.gz")
    names = write_bundle(chosen, target)
    if as_json:
        print_json({"archive": str(target.resolve()), "files": names})
        return
    out.print(
        f"{target}: {len(names)} files, {target.stat().st_size / 1e3:.0f} kB", highlight=False, soft_wrap=True
    )
    out.print(
        "No data, no weights; what looks like a secret was removed. Look through it before you send it."
    )
