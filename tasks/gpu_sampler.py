"""The sampler process: one NVML reading a second, one JSON line each."""

import os
import sys
import threading
from pathlib import Path

import pynvml

from nightshift.events import append_line
from nightshift.rundir import RunDir
from schedules.clock import Clock, environment_clock
from verdict.utilisation import SAMPLE_EVERY_S


def sample_line(handle: object, clock: Clock) -> dict[str, object]:
    """Return one reading; what the device does not support is left out of it."""
    record: dict[str, object] = {"at": clock.now().isoformat()}
    try:
        record["utilisation_pct"] = float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        record["memory_used_bytes"] = int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
        record["power_w"] = pynvml.nvmlDeviceGetPowerUsage(handle) / 1000
    except pynvml.NVMLError as error:
        record["error"] = str(error)
    return record


def sample_until_killed(run: RunDir, index: int) -> None:
    """Append readings until the nightwatch ends this process, or is gone itself."""
    nightwatch = os.getppid()
    clock = environment_clock()
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    never = threading.Event()
    while os.getppid() == nightwatch:
        append_line(run.gpu_samples, sample_line(handle, clock))
        never.wait(SAMPLE_EVERY_S)


if __name__ == "__main__":
    sample_until_killed(RunDir(Path(sys.argv[1])), int(sys.argv[2]))
