"""The set-up stage (`python -m models.prepare`): is everything here that the night needs?

Looks at GPU and driver, packages, disk and data, writes `out/environment.json`, and ends with exit
code 2 and one line where the night could not work.
"""

import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pynvml

from models.settings import PrepareSettings, read_settings
from nightshift.checkpoint import sha256_of
from nightshift.states import NightError
from nightshift.trainer import TrainerRun, open_run

PACKAGES = (
    "torch", "transformers", "sentence-transformers", "faiss-cpu", "lightgbm", "optuna", "prefect", "wandb",
)  # fmt: skip
SMI_WITHIN_S = 10
SPLITS = ("train", "val")


def nvidia_smi() -> str:
    """Return nvidia-smi's list of GPUs, or why there is none."""
    if shutil.which("nvidia-smi") is None:
        return "nvidia-smi: not on this machine"
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=SMI_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"nvidia-smi: {error}"
    return (answer.stdout or answer.stderr).strip()


def nvml() -> str:
    """Return NVML's driver version, or its error."""
    try:
        pynvml.nvmlInit()
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        return f"NVML: {error}"
    return f"NVML: driver {driver}"


def cuda(device: str) -> str:
    """Return whether torch sees CUDA; not asked on a machine without a GPU, where torch takes seconds to load."""
    if device == "cpu":
        return "CUDA: not looked for, this night runs on the CPU"
    import torch

    seen = torch.cuda.is_available()
    return f"CUDA: {torch.cuda.get_device_name(0)}" if seen else "CUDA: torch does not see the GPU"


def packages() -> dict[str, str]:
    """Return the versions of what the trainers use."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def hash_inputs(inputs: Mapping[str, Path]) -> dict[str, dict[str, str | int]]:
    """Return size and sha256 of the splits a trainer may read.

    Raises NightError naming what is missing.
    """
    hashes: dict[str, dict[str, str | int]] = {}
    for name in SPLITS:
        path = inputs.get(name)
        if path is None or not path.is_file():
            raise NightError(f"input {name!r} ({path}) is missing; check the data with `nightshift check`")
        hashes[name] = {"file": path.name, "size": path.stat().st_size, "sha256": sha256_of(path)}
    return hashes


def free_disk_gb(folder: Path, needed: float) -> float:
    """Return the free disk space.

    Raises NightError where it is less than needed.
    """
    free = shutil.disk_usage(folder).free / 1e9
    if free < needed:
        raise NightError(
            f"{free:.1f} GB of disk are free in {folder}, the plan needs {needed:g}; free some space"
        )
    return free


def prepare(run: TrainerRun, settings: PrepareSettings) -> None:
    """Look at everything, print it, and write it down."""
    run.phase("setup")
    found: dict[str, object] = {
        "python": platform.python_version(),
        "machine": platform.platform(),
        "gpu": nvidia_smi(),
        "nvml": nvml(),
        "cuda": cuda(run.device),
        "packages": packages(),
        "free_disk_gb": round(free_disk_gb(run.folder.path, settings.free_disk_gb), 1),
    }
    run.progress(1, samples=1, total=2, share=0.5)
    run.phase("load")
    found["data"] = hash_inputs(run.inputs)
    for name, value in found.items():
        print(f"{name}: {value}")
    run.write_result("environment", dict(found))
    run.progress(2, samples=2, total=2, share=1.0)


def main() -> int:
    """Return the exit code of this trainer."""
    run = open_run()
    try:
        prepare(run, read_settings(PrepareSettings, run.inputs.get("settings")))
    except NightError as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 2
    run.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
