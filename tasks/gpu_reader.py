"""One device read through NVML: whatever it offers, what it does not, and when it is lost.

What a device does not support is named once and not asked for again; what has no data leaves its value out;
a driver that does not answer leaves an error in the reading. Only a lost device ends the reading.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pynvml

ABSENT = {
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_NO_PERMISSION,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
}
EMPTY = {pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_NO_DATA}
LOST = {pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED}
THROTTLES = {
    0x08: "hardware slow-down",
    0x20: "too hot (software)",
    0x40: "too hot (hardware)",
    0x80: "power brake",
}
"""Bits of NVML's clock event reasons that cost speed unasked; idle and a set power limit are ordinary."""
RECOVERIES = {1: "reset the GPU", 2: "restart the machine", 4: "drain the GPU and reset it"}
"""`NVML_FI_DEV_GET_GPU_RECOVERY_ACTION` -> what a person must do."""
SELDOM_S = 30.0
"""The process list takes milliseconds and a lock of the driver, so it is asked for no more often."""
GPM_SM, GPM_DRAM = 2, 10

Fields = dict[str, object]


class GpuLost(Exception):
    """The device has fallen off, or must be reset; the message says which."""


@dataclass
class GpuReader:
    """Reads one device between `open` and `close`."""

    uuid: str
    absent: dict[str, str] = field(default_factory=dict)
    """Metric -> why it is not to be had here."""

    def open(self) -> None:
        """Reach the driver and the device.

        Raises pynvml.NVMLError where that fails.
        """
        pynvml.nvmlInit()
        self.handle = pynvml.nvmlDeviceGetHandleByUUID(self.uuid)
        self.activity = _Activity()
        self.seldom_s = -SELDOM_S
        self.metrics: dict[str, Callable[[], Fields]] = {
            "utilisation": lambda: {
                "utilisation_pct": float(pynvml.nvmlDeviceGetUtilizationRates(self.handle).gpu)
            },
            "memory": self._memory,
            "power": lambda: {"power_w": pynvml.nvmlDeviceGetPowerUsage(self.handle) / 1000},
            "energy": lambda: {"energy_j": pynvml.nvmlDeviceGetTotalEnergyConsumption(self.handle) / 1000},
            "clocks": self._throttled,
            "activity": lambda: self.activity.read(self.handle),
        }
        self.seldom: dict[str, Callable[[], Fields]] = {
            "processes": self._processes,
            "recovery": self._recovery,
        }

    def close(self) -> None:
        """Let the driver go; one that is gone already is no error."""
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            return

    def read(self, now_s: float) -> Fields:
        """Return the values of this moment, `absent` for metrics newly found missing, `error` where some failed.

        Raises GpuLost where the device is gone for good.
        """
        record: Fields = {}
        asked = dict(self.metrics)
        if now_s - self.seldom_s >= SELDOM_S:
            self.seldom_s = now_s
            asked |= self.seldom
        for name, read in asked.items():
            if name in self.absent:
                continue
            try:
                record |= read()
            except pynvml.NVMLError as error:
                self._failed(name, error, record)
        return record

    def _failed(self, name: str, error: pynvml.NVMLError, record: Fields) -> None:
        if error.value in LOST:
            raise GpuLost(str(error)) from error
        if error.value in ABSENT:
            self.absent[name] = str(error)
            record["absent"] = dict(self.absent)
        elif error.value not in EMPTY:
            record["error"] = f"{name}: {error}"

    def _memory(self) -> Fields:
        memory = pynvml.nvmlDeviceGetMemoryInfo(self.handle)
        return {"memory_used_bytes": int(memory.used), "memory_total_bytes": int(memory.total)}

    def _throttled(self) -> Fields:
        bits = int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(self.handle))
        return {"throttled": [name for bit, name in THROTTLES.items() if bits & bit]}

    def _processes(self) -> Fields:
        found = pynvml.nvmlDeviceGetComputeRunningProcesses(self.handle)
        return {"processes": {str(one.pid): one.usedGpuMemory for one in found}}

    def _recovery(self) -> Fields:
        value = pynvml.nvmlDeviceGetFieldValues(self.handle, [pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION])[0]
        if value.nvmlReturn != pynvml.NVML_SUCCESS:
            raise pynvml.NVMLError(value.nvmlReturn)
        asked = RECOVERIES.get(int(value.value.uiVal))
        return {"recovery": asked} if asked else {}


class _Activity:
    """Activity of the processors from GPM (Hopper and later): what happened between two of its samples."""

    def __init__(self) -> None:
        self.samples: list[object] = []
        self.whole = False

    def read(self, handle: object) -> Fields:
        if not self.samples:
            if not pynvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
            self.samples = [pynvml.nvmlGpmSampleAlloc(), pynvml.nvmlGpmSampleAlloc()]
        before, now = self.samples
        pynvml.nvmlGpmSampleGet(handle, now)
        self.samples = [now, before]
        if not self.whole:
            self.whole = True
            return {}
        asked = pynvml.c_nvmlGpmMetricsGet_t()
        asked.version, asked.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, 2
        asked.sample1, asked.sample2 = before, now
        asked.metrics[0].metricId, asked.metrics[1].metricId = GPM_SM, GPM_DRAM
        pynvml.nvmlGpmMetricsGet(asked)
        told = zip(("sm_pct", "dram_pct"), asked.metrics, strict=False)
        return {name: float(one.value) for name, one in told if one.nvmlReturn == pynvml.NVML_SUCCESS}
