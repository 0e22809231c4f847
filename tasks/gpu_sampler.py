"""The sampler process: one NVML reading a second of each GPU, one JSON line each.

`python -m tasks.gpu_sampler RUN_DIR UUID...`. It lives as long as the nightwatch that started it, and ends by itself
where a device is lost. A driver that does not answer is asked again, later and later, then reached anew.
"""

import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pynvml

from nightshift.events import append_line
from nightshift.instant import boottime_s
from nightshift.rundir import RunDir
from schedules.clock import Clock, environment_clock
from tasks.gpu_reader import Fields, GpuLost, GpuReader
from verdict.utilisation import SAMPLE_EVERY_S

LONGEST_BACK_OFF_S = 8.0
"""Longest pause before a silent driver is asked again; the nightwatch takes 10 s of silence for a dead sampler."""
REOPEN_AFTER = 3
"""Readings without any value after which the driver is reached anew."""


@dataclass
class Sampled:
    """One GPU and how well its driver answers."""

    reader: GpuReader
    is_open: bool = False
    failures: int = 0

    def read(self) -> Fields:
        """Return the reading of this moment, `error` alone where the driver gives none.

        Raises GpuLost where the device is gone for good.
        """
        try:
            if not self.is_open:
                self.reader.open()
                self.is_open = True
            record = self.reader.read(boottime_s())
        except pynvml.NVMLError as error:
            record = {"error": str(error)}
        silent = set(record) <= {"error", "absent"} and "error" in record
        self.failures = self.failures + 1 if silent else 0
        if self.failures >= REOPEN_AFTER and self.is_open:
            self.reader.close()
            self.is_open = False
        return record


def sample_until_killed(run: RunDir, uuids: Sequence[str]) -> None:
    """Append readings until the nightwatch is gone, or a device is."""
    nightwatch, clock = os.getppid(), environment_clock()
    gpus = [Sampled(GpuReader(uuid)) for uuid in uuids]
    never = threading.Event()
    due_s = boottime_s()
    while os.getppid() == nightwatch:
        for gpu in gpus:
            try:
                record = gpu.read()
            except GpuLost as error:
                _write(run, clock, {"gpu": gpu.reader.uuid, "lost": str(error)})
                return
            _write(run, clock, {"gpu": gpu.reader.uuid, **record})
        due_s = max(due_s + SAMPLE_EVERY_S, boottime_s() - SAMPLE_EVERY_S)
        failures = min(gpu.failures for gpu in gpus)
        pause_s = min(LONGEST_BACK_OFF_S, SAMPLE_EVERY_S * 2 ** min(failures, 4)) if failures else 0.0
        never.wait(max(pause_s, due_s - boottime_s()))


def _write(run: RunDir, clock: Clock, record: Fields) -> None:
    try:
        append_line(run.gpu_samples, {"at": clock.now().isoformat(), **record})
    except OSError as error:  # a full disk loses samples, not the sampler
        print(f"sampler: a reading could not be written: {error}", file=sys.stderr)


if __name__ == "__main__":
    sample_until_killed(RunDir(Path(sys.argv[1])), sys.argv[2:])
