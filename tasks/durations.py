"""How long the stages of earlier nights took on this machine and data: what a forecast learns from."""

import json
import re
from pathlib import Path

from nightshift.instant import parse_utc
from nightshift.rundir import RunDir
from nightshift.states import Ending
from tasks.night_status import read_status
from verdict.seal import Seal

NEWEST = 10
"""Earlier nights that are looked at."""
BROUGHT = re.compile(r"(data-[0-9a-f]{16})-[0-9a-f]{16}\Z")
"""The folder of one content of remote data (`models.data_sync`): its address is the same data set, a day older."""


def data_set_of(origin: str) -> str:
    """Return what names a data set over time, from where a night's data lay."""
    return BROUGHT.sub(r"\1", origin)


def stage_seconds(home: Path, seal: Seal, this: RunDir) -> dict[str, tuple[float, ...]]:
    """Return stage -> real seconds that it took where it did all its work, in earlier nights of the same name and data.

    A rehearsal counts: the same work takes the same real seconds, only its night is shorter.
    """
    runs = [RunDir(path.parent) for path in home.glob("*/*/status.json") if path.parent != this.path]
    runs.sort(key=lambda run: run.status.stat().st_mtime_ns, reverse=True)
    took: dict[str, list[float]] = {}
    counted = 0
    for run in runs:
        status = read_status(run.status)
        if (
            status is None
            or status.night != seal.night.name
            or _data_of(run) != data_set_of(seal.data.origin)
        ):
            continue
        for stage in status.stages:
            if stage.ending == Ending.FINISHED and stage.start and stage.end and not stage.restarts:
                seconds = (parse_utc(stage.end) - parse_utc(stage.start)).total_seconds() / status.speed
                took.setdefault(stage.name, []).append(seconds)
        counted += 1
        if counted == NEWEST:
            break
    return {name: tuple(values) for name, values in took.items()}


def _data_of(run: RunDir) -> str:
    try:
        return data_set_of(str(json.loads(run.seal.read_text())["data"]["origin"]))
    except (OSError, ValueError, KeyError, TypeError):
        return ""
