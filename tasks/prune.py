"""Retention of runs: the checkpoints of old nights go; hand-over, report, seal and ledger stay for good."""

import shutil
from pathlib import Path

from nightshift.checkpoint import remove_checkpoint
from nightshift.rundir import MEMBERS, RunDir
from tasks.handoff import read_handoff
from tasks.launch import nightwatch_alive
from tasks.storage import folder_bytes


def prune_home(home: Path, keep: int, dry_run: bool) -> list[tuple[Path, int]]:
    """Return (run, bytes freed) of every night pruned: all but the newest `keep` that were handed over.

    A night that was not handed over is never touched: it may be resumed, or asked for its last checkpoint.
    """
    over = [RunDir(path.parent) for path in home.glob("*/*/handoff.json")]
    over = [run for run in over if read_handoff(run) and not nightwatch_alive(run)]
    over.sort(key=lambda run: run.handoff.stat().st_mtime_ns, reverse=True)
    pruned = [(run.path, _prune(run, dry_run)) for run in over[keep:]]
    return [(path, freed) for path, freed in pruned if freed]


def _prune(run: RunDir, dry_run: bool) -> int:
    freed = 0
    for folder in sorted(run.path.glob("stages/*/checkpoints")):
        for path in sorted(folder.glob("step-*")):
            freed += folder_bytes(path)
            if not dry_run:
                remove_checkpoint(path)
        for path in sorted(folder.glob(".step-*")):  # what a kill has left half written
            freed += folder_bytes(path)
            if not dry_run:
                shutil.rmtree(path, ignore_errors=True)
    for folder in sorted(run.path.glob(f"stages/*/{MEMBERS}")):  # its stage was ended before it could tidy up
        freed += folder_bytes(folder)
        if not dry_run:
            shutil.rmtree(folder, ignore_errors=True)
    return freed
