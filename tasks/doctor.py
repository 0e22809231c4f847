"""Is this machine fit for a night? Each check is a value with what to do about it."""

import os
import shutil
from dataclasses import dataclass
from datetime import UTC
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from schedules.clock import SystemClock
from schedules.window import machine_zone_name, resolve_zone
from tasks.gpu import find_gpus, torch_without_cuda
from tasks.power import power_findings

FREE_DISK_GB = 5.0
NEEDED = {"prefect": "3.8", "torch": "2", "transformers": "5", "sentence-transformers": "6", "faiss-cpu": "1"}
TOO_NEW = {"fastapi": (0, 151), "sqlalchemy": (2, 1)}
"""From these on Prefect 3.8.8 breaks; with SQLAlchemy 2.1 silently."""
OK, WARN, BAD = "ok", "warn", "bad"
TORCH_WITH_CUDA = "pip install torch --index-url https://download.pytorch.org/whl/cu126"


@dataclass(frozen=True)
class Check:
    """One thing a night depends on."""

    name: str
    state: str
    """ok, warn or bad."""
    found: str
    mend: str = ""


def _packages() -> list[Check]:
    checks = []
    for name in NEEDED:
        try:
            checks.append(Check(name, OK, version(name)))
        except PackageNotFoundError:
            checks.append(Check(name, BAD, "not installed", "pip install -e . -c constraints.txt"))
    for name, limit in TOO_NEW.items():
        found = version(name)
        numbers = tuple(int(part) for part in found.split(".")[:2])
        mend = f"pip install '{name}<{limit[0]}.{limit[1]}'"
        checks.append(Check(name, BAD if numbers >= limit else OK, found, mend if numbers >= limit else ""))
    return checks


def _disk(home: Path) -> Check:
    folder = next(path for path in (home.resolve(), *home.resolve().parents) if path.exists())
    free_gb = shutil.disk_usage(folder).free / 1e9
    state = OK if free_gb >= FREE_DISK_GB else BAD
    return Check(
        "disk", state, f"{free_gb:.1f} GB free in {folder}", "" if state == OK else "free some space"
    )


def _clocks() -> Check:
    zone = resolve_zone("local")
    now = SystemClock().now()
    found = f"{now.astimezone(zone):%H:%M} {machine_zone_name()}, {now.astimezone(UTC):%H:%M} UTC"
    utc = zone.key in ("UTC", "Etc/UTC")
    return Check("clocks", WARN if utc else OK, found, "set timezone in the plan, or TZ" if utc else "")


def _gpu() -> Check:
    gpus, reason = find_gpus()
    if not gpus:
        return Check("gpu", WARN, reason, "the night runs on the CPU; utilisation is not measured")
    found = ", ".join(f"{gpu.name}, {gpu.memory_bytes / 2**30:.0f} GiB" for gpu in gpus)
    if torch_without_cuda():
        return Check("gpu", BAD, f"{found}, but this torch is built without CUDA", TORCH_WITH_CUDA)
    if gpus[0].mig:
        return Check("gpu", WARN, f"{found}, cut into MIG instances", "their utilisation is not measured")
    return Check("gpu", OK, found)


def _wandb() -> Check:
    key = bool(os.environ.get("WANDB_API_KEY"))
    return Check("wandb", OK, "online: a key is set" if key else "offline mirror: WANDB_API_KEY is not set")


def _power() -> Check:
    found, mend = power_findings()
    return Check("power", WARN if mend else OK, found, mend)


def examine(home: Path) -> list[Check]:
    """Return every check of this machine, the Prefect server excepted."""
    return [_clocks(), _power(), _gpu(), _disk(home), *_packages(), _wandb()]
