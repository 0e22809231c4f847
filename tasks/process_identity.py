"""Who a process is: pid alone is reused, so start time and boot id go with it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from nightshift.checkpoint import write_atomically


@dataclass(frozen=True)
class ProcessIdentity:
    """A process that no later one can be mistaken for."""

    pid: int
    start_ticks: int
    """Field 22 of /proc/PID/stat: clock ticks after boot."""
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity | None":
        """Return the identity of a living process, or None where there is none (or no /proc)."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        fields = stat.rsplit(")", 1)[1].split()
        return None if fields[0] == "Z" else cls(pid, int(fields[19]), boot)

    @classmethod
    def read(cls, path: Path) -> "ProcessIdentity | None":
        """Return the identity in this file, or None where it holds none."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Keep this identity in a file."""
        write_atomically(path, json.dumps(asdict(self)))

    def alive(self) -> bool:
        """Return whether this very process still runs."""
        return ProcessIdentity.of(self.pid) == self
