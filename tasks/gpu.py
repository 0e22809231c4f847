"""Which GPUs a night may use, as NVML names them. No GPU is a value, not an error."""

import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pynvml

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Gpu:
    """One device as NVML names it."""

    index: int
    uuid: str
    name: str
    memory_bytes: int
    mig: bool = False
    """Cut into instances: NVML does not measure the utilisation of those."""


def find_gpus() -> tuple[list[Gpu], str]:
    """Return the GPUs that NVML sees and `CUDA_VISIBLE_DEVICES` allows, and the reason where there are none."""
    gpus, reason = installed_gpus()
    if not gpus:
        return [], reason
    allowed = visible(gpus, os.environ.get(VISIBLE))
    return allowed, "" if allowed else f"{VISIBLE}={os.environ[VISIBLE]!r} hides every GPU"


def installed_gpus() -> tuple[list[Gpu], str]:
    """Return the GPUs that NVML sees, and the reason where it sees none."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return [], f"no NVIDIA GPU: {error}"
    try:
        gpus = [_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        return [], f"NVML failed: {error}"
    finally:
        pynvml.nvmlShutdown()
    return gpus, "" if gpus else "NVML sees no GPU"


def visible(gpus: Sequence[Gpu], allowed: str | None) -> list[Gpu]:
    """Return the GPUs that this value of `CUDA_VISIBLE_DEVICES` allows, in its order; None allows all.

    As CUDA does, it stops at the first entry that names no device. A MIG instance stands for a GPU that is cut.
    """
    if allowed is None:
        return list(gpus)
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in allowed.split(",")):
        found = [gpu for gpu in gpus if _named(gpu, entry)]
        if not found:
            break
        chosen += [gpu for gpu in found[:1] if gpu not in chosen]
    return chosen


def _named(gpu: Gpu, entry: str) -> bool:
    if entry.isdecimal():
        return int(entry) == gpu.index
    return gpu.mig if entry.startswith("MIG-") else bool(entry) and gpu.uuid.startswith(entry)


def shown_to_trainers(gpus: Sequence[Gpu]) -> str | None:
    """Return the `CUDA_VISIBLE_DEVICES` that shows a trainer these GPUs and no other; None where it is not set.

    By UUID, since CUDA may count devices in another order than NVML. Instances of a GPU that is cut only the person's
    own value can name.
    """
    if not gpus or any(gpu.mig for gpu in gpus):
        return os.environ.get(VISIBLE)
    return ",".join(gpu.uuid for gpu in gpus)


def _gpu(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    uuid, name = str(pynvml.nvmlDeviceGetUUID(handle)), str(pynvml.nvmlDeviceGetName(handle))
    return Gpu(index, uuid, name, memory, _mig(handle))


def _mig(handle: object) -> bool:
    try:
        return bool(pynvml.nvmlDeviceGetMigMode(handle)[0])
    except pynvml.NVMLError:
        return False


def torch_without_cuda() -> bool:
    """Return whether the installed torch cannot use any GPU, from its version file: importing it takes seconds."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    told = Path(found.origin).with_name("version.py")
    return told.is_file() and bool(re.search(r"^cuda\b.*=\s*None\s*$", told.read_text(), re.MULTILINE))
