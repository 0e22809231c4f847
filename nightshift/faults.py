"""Faults that a rehearsal gives to a real trainer from inside: out of memory, numbers not finite, a hang.

The injector puts a word into the stage's `fault.json`; the trainer takes it where it next says that it
lives. In a real night nobody reads the file.
"""

import threading
from pathlib import Path

OUT_OF_MEMORY, NOT_FINITE, HANG = "oom", "nan", "hang"


def take_fault(path: Path) -> str:
    """Return the fault that waits for this trainer, once, or an empty text."""
    try:
        word = path.read_text().strip()
        path.unlink()
    except OSError:
        return ""
    return word


def hang() -> None:
    """Never return: the training thread waits for something that does not come; only SIGKILL ends it."""
    never = threading.Event()
    while True:
        never.wait()
