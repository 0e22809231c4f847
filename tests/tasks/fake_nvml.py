"""A fake driver for tests: `libnvidia-ml.so.1` built by gcc, driven by a file of `key value` lines."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("fake_nvml.c")


class FakeNvml:
    """One fake GPU; `set` changes what it reads from now on."""

    def __init__(self, folder: Path, **values: float):
        self.folder, self.script = folder, folder / "nvml.txt"
        self.values: dict[str, float] = {"id": float(os.getpid())}
        self.set(**values)

    @classmethod
    def build(cls, folder: Path, **values: float) -> "FakeNvml":
        """Return the fake, built into this folder; skips the test loudly where there is no C compiler."""
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            pytest.skip(
                "NO C COMPILER: the fake NVML library cannot be built, the GPU watching is NOT TESTED"
            )
        library = folder / "libnvidia-ml.so.1"
        subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", str(library), str(SOURCE)], check=True)
        return cls(folder, **values)

    def set(self, **values: float) -> None:
        """Change readings: `utilisation=60`, `lost=1`, `error_nvmlDeviceGetPowerUsage=3`."""
        self.values |= {name.replace("error_", "error."): value for name, value in values.items()}
        aside = self.script.with_suffix(".new")
        aside.write_text("".join(f"{name} {value}\n" for name, value in self.values.items()))
        aside.replace(self.script)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find it."""
        return {"LD_LIBRARY_PATH": str(self.folder), "FAKE_NVML": str(self.script)}
