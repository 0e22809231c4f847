"""`nightshift prune`: what a night needed while it ran goes; what it handed over and can prove stays."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.live import HomeOption
from flows.cli.output import AsJson, out, print_json
from nightshift.states import NightError
from tasks.prune import prune_home


def prune_command(
    home: HomeOption = Path("runs"),
    keep: Annotated[int, typer.Option("--keep", help="Newest nights that are left as they are.")] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and leave it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Free disk space: remove checkpoints of old nights that are not in their hand-over."""
    if keep < 0:
        raise NightError(f"--keep {keep}: give 0 or more")
    if not home.is_dir():
        raise NightError(f"--out {home}: there is no such folder")
    pruned = prune_home(home.resolve(), keep, dry_run)
    if as_json:
        print_json({"dry_run": dry_run, "pruned": [{"run_dir": str(p), "bytes": n} for p, n in pruned]})
        return
    for path, freed in pruned:
        out.print(f"{freed / 1e6:8.1f} MB  {path}", highlight=False, soft_wrap=True)
    total = sum(freed for _, freed in pruned) / 1e6
    verb = "would be freed" if dry_run else "freed"
    out.print(
        f"{total:.1f} MB {verb} in {len(pruned)} nights; hand-overs, reports and ledgers stay",
        highlight=False,
    )
