"""Which GPUs there are, as NVML names them. No GPU is a value, not an error."""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

import pynvml


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
