"""The sampler process: one NVML reading a second, one JSON line each.

`python -m tasks.gpu_sampler RUN_DIR INDEX`. It lives as long as the nightwatch that started it, and ends by itself
where the device is lost. A driver that does not answer is asked again, later and later, then reached anew.
"""

import os
import sys
import threading
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


def sample_until_killed(run: RunDir, index: int) -> None:
    """Append readings until the nightwatch is gone, or the device is."""
    nightwatch, clock = os.getppid(), environment_clock()
    reader, failures = GpuReader(index), 0
    is_open = False
    never = threading.Event()
    due_s = boottime_s()
    while os.getppid() == nightwatch:
        try:
            if not is_open:
                reader.open()
                is_open = True
            record = reader.read(boottime_s())
        except GpuLost as error:
            _write(run, clock, {"lost": str(error)})
            return
        except pynvml.NVMLError as error:
            record = {"error": str(error)}
        _write(run, clock, record)
        failures = failures + 1 if set(record) <= {"error", "absent"} and "error" in record else 0
        if failures >= REOPEN_AFTER and is_open:
            reader.close()
            is_open = False
        due_s = max(due_s + SAMPLE_EVERY_S, boottime_s() - SAMPLE_EVERY_S)
        pause_s = min(LONGEST_BACK_OFF_S, SAMPLE_EVERY_S * 2 ** min(failures, 4)) if failures else 0.0
        never.wait(max(pause_s, due_s - boottime_s()))


def _write(run: RunDir, clock: Clock, record: Fields) -> None:
    try:
        append_line(run.gpu_samples, {"at": clock.now().isoformat(), **record})
    except OSError as error:  # a full disk loses samples, not the sampler
        print(f"sampler: a reading could not be written: {error}", file=sys.stderr)


if __name__ == "__main__":
    sample_until_killed(RunDir(Path(sys.argv[1])), int(sys.argv[2]))
