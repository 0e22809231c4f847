"""Which data files a trainer opens: a Python audit hook, so that reading the test labels would be seen.

It sees what Python opens, children made by fork included; what a C library opens by itself it does not see.
"""

import json
import os
import sys
from pathlib import Path

from nightshift.events import append_line

DATA = (
    ".jsonl", ".json", ".txt", ".csv", ".tsv", ".parquet", ".npz", ".npy", ".pkl", ".pickle", ".pt",
    ".safetensors", ".h5", ".hdf5", ".sqlite", ".db", ".arrow",
)  # fmt: skip
"""Endings of files that may hold data or labels; pictures are too many, and sealed as a whole."""


def audit_opens(record: Path, ignored: tuple[Path, ...]) -> None:
    """Write every data file that this process opens for reading to `record`, each once, one JSON line each.

    What lies in `ignored` folders, in the interpreter's or in the system's is passed over.
    """
    folders = (*map(str, ignored), sys.prefix, sys.base_prefix, "/proc", "/sys")
    skipped = tuple(os.path.realpath(folder) + os.sep for folder in folders)
    seen: set[str] = set()
    append_line(record, {"audit": "on", "pid": os.getpid()})

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str | bytes) or _writes(arguments):
            return
        path = os.fsdecode(arguments[0])
        if not path.lower().endswith(DATA) or path in seen:
            return
        seen.add(path)
        real = os.path.realpath(path)
        if not real.startswith(skipped) and os.path.isfile(real):  # noqa: PTH113 - a hook must not open a Path
            append_line(record, {"opened": real})

    sys.addaudithook(hook)


def _writes(arguments: tuple[object, ...]) -> bool:
    mode, flags = arguments[1] if len(arguments) > 1 else None, arguments[2] if len(arguments) > 2 else 0
    if isinstance(mode, str):
        return "r" not in mode
    return isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) != 0


def read_opened(record: Path) -> list[str] | None:
    """Return the files that a stage's trainers opened, or None where nothing was audited."""
    if not record.is_file():
        return None
    opened: list[str] = []
    for line in record.read_text(errors="replace").splitlines():
        try:
            path = json.loads(line).get("opened")
        except (ValueError, AttributeError):
            continue
        if isinstance(path, str):
            opened.append(path)
    return list(dict.fromkeys(opened))
