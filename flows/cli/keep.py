"""`nightshift keep`: a copy of the runs on a disk that outlives this machine, and back."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.output import AsJson, OutOption, err, out, print_json
from tasks.keep import keep_once, main, restore


def keep_command(
    drive: Annotated[Path, typer.Argument(metavar="FOLDER", help="A mounted Drive, or any other disk.")],
    runs: OutOption = Path("runs"),
    back: Annotated[bool, typer.Option("--restore", help="Bring back what is not here, and end.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Copy once, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the runs to FOLDER while a night runs; a folder that fails costs copies, never a step of training."""
    if not back and not once:
        main(runs, drive)
        return
    count, troubles = restore(drive, runs) if back else keep_once(runs, drive)
    for trouble in troubles:
        err.print(trouble, highlight=False, soft_wrap=True)
    if as_json:
        print_json({"files": count, "troubles": troubles})
    else:
        out.print(f"{count} files {'brought back' if back else 'copied'}", highlight=False)
