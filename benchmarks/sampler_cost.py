"""What does the GPU sampler cost at one reading a second?

`python -m benchmarks.sampler_cost [--seconds 60]`. The real sampler runs as a child of this process; its processor
time is read from the kernel after it has started up. Without a GPU it reads the tests' fake driver, which opens and
parses a text file at each of its calls and so is slower than a driver.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import sleep

from benchmarks.record import keep
from nightshift.instant import boottime_s
from nightshift.rundir import RunDir
from tasks.gpu import find_gpus
from tests.tasks.fake_nvml import FakeNvml

STARTED_S = 5.0


def cpu_s(pid: int) -> float:
    """Return the processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Sample, measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    gpus, _ = find_gpus()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = dict(os.environ)
        if not gpus:
            environment |= FakeNvml.build(folder, utilisation=90, sm=50, recovery=0).environment
        uuid = gpus[0].uuid if gpus else "GPU-fake-1-0"
        run = RunDir(folder)
        sampler = subprocess.Popen([sys.executable, "-m", "tasks.gpu_sampler", name, uuid], env=environment)
        sleep(STARTED_S)
        began_s, before_s = boottime_s(), cpu_s(sampler.pid)
        sleep(asked.seconds)
        share = (cpu_s(sampler.pid) - before_s) / (boottime_s() - began_s)
        sampler.send_signal(signal.SIGKILL)
        sampler.wait()
        lines = len(run.gpu_samples.read_text().splitlines())
    device = gpus[0].name if gpus else "the tests' fake driver"
    keep(
        "sampler_cost",
        f"The GPU sampler at 1 Hz over {asked.seconds:.0f} s, reading {device}",
        [{"seconds": asked.seconds, "lines, start included": lines, "CPU of one core": f"{share:.3%}"}],
        f"the sampler costs {share:.2%} of one core",
        (),
    )


if __name__ == "__main__":
    main()
