"""NVML readings; the only module that talks to the driver. No GPU is a value, not an error."""

from dataclasses import dataclass

import pynvml


@dataclass(frozen=True)
class Gpu:
    """One device as NVML names it."""

    index: int
    uuid: str
    name: str
    memory_bytes: int


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
    return Gpu(index, str(pynvml.nvmlDeviceGetUUID(handle)), str(pynvml.nvmlDeviceGetName(handle)), memory)
