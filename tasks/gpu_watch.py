"""The nightwatch's side of the sampler: starts it, reads it, starts it again when it is silent, hears of a lost GPU."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from nightshift.checkpoint import write_atomically
from nightshift.instant import boottime_s
from nightshift.rundir import RunDir
from tasks.gpu import Gpu
from tasks.night_status import NightStatus
from verdict.ledger import Ledger
from verdict.seal import Seal

SILENT_S = 10.0
"""Real seconds without a line after which the sampler is taken for dead."""
LOOK_EVERY_S = 1.0
SHOWN = ("utilisation_pct", "sm_pct", "memory_used_bytes", "memory_total_bytes", "power_w")


@dataclass
class GpuWatch:
    """Keeps the sampler of one night."""

    run: RunDir
    seal: Seal
    ledger: Ledger
    status: NightStatus
    tell: Callable[[str], None]

    def __post_init__(self) -> None:
        self.gpus: list[Gpu] = []
        self.last: dict[str, dict[str, float]] = {}
        self.sampler: subprocess.Popen[bytes] | None = None
        self.offset = 0
        self.heard_s = self.looked_s = self.started_s = boottime_s()
        self.restarts = 0
        self.lost = self.run.gpu_lost.is_file()

    def begin(self, gpus: list[Gpu], reason: str) -> None:
        """Say which GPUs the night has, and sample them."""
        self.gpus = gpus
        named = ", ".join(f"{gpu.name} ({gpu.uuid})" for gpu in gpus)
        self.status.gpu = named or reason or "the GPUs that this night was sealed with are gone"
        self.ledger.write("gpu", found=len(gpus), device=self.status.gpu)
        wanted = self.seal.plan.gpus
        if gpus and len(gpus) < wanted:
            self.tell(f"The plan asks for {wanted} GPUs, the night has {len(gpus)}")
        if not gpus:
            return
        if any(gpu.mig for gpu in gpus):
            self.tell("The GPU is cut into MIG instances: NVML does not measure their utilisation")
        self.offset = self.run.gpu_samples.stat().st_size if self.run.gpu_samples.is_file() else 0
        self._start()

    def _start(self) -> None:
        if not self.gpus or self.lost:
            return
        environment = os.environ | ({"NIGHT_CLOCK": self.seal.clock} if self.seal.clock else {})
        with self.run.nightwatch_log.open("ab") as log:
            self.sampler = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tasks.gpu_sampler",
                    str(self.run.path),
                    *(gpu.uuid for gpu in self.gpus),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self.heard_s = self.started_s = boottime_s()

    def tend(self) -> None:
        """Take in what was sampled since; start the sampler again where it has fallen silent."""
        now_s = boottime_s()
        if self.sampler is None or self.lost or now_s - self.looked_s < LOOK_EVERY_S:
            return
        self.looked_s = now_s
        lines = self._new_lines()
        if lines:
            self.heard_s = now_s
        for line in lines:
            self._take(line)
        died = self.sampler.poll() is not None and self.heard_s > self.started_s
        if not self.lost and (died or now_s - self.heard_s > SILENT_S):
            self._start_again()

    def _new_lines(self) -> list[dict[str, object]]:
        try:
            with self.run.gpu_samples.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        self.offset += end
        found = []
        for line in data[:end].splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                found.append(record)
        return found

    def _take(self, record: dict[str, object]) -> None:
        if "lost" in record:
            self._lose(str(record["lost"]))
        values = {name: record[name] for name in SHOWN if isinstance(record.get(name), int | float)}
        if values:
            self.last[str(record.get("gpu"))] = {name: float(str(value)) for name, value in values.items()}
            self.status.gpu_values = min(self.last.values(), key=lambda v: v.get("utilisation_pct", 0.0))
        if "recovery" in record:
            self.tell(f"The driver asks for a recovery of the GPU: {record['recovery']}")

    def _lose(self, reason: str) -> None:
        """The device is gone: what trains on it is not started again, the rest of the night goes on without it."""
        self.lost = True
        self.status.gpu_values = {}
        write_atomically(self.run.gpu_lost, reason)
        self.ledger.write("gpu-lost", reason=reason)
        self.tell(
            f"The GPU was lost ({reason}); the night goes on without it. Restart the machine in the morning"
        )

    def _start_again(self) -> None:
        self.stop()
        self.restarts += 1
        self.ledger.write("sampler-restarted", times=self.restarts)
        if self.restarts == 1:
            self.tell("The GPU sampler had died and was started again; what it missed counts as unknown")
        self._start()

    def stop(self) -> None:
        """End the sampler."""
        if self.sampler is None:
            return
        if self.sampler.poll() is None:
            os.killpg(self.sampler.pid, signal.SIGKILL)
        self.sampler.wait()
