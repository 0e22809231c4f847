"""Holding the machine awake for a night, where systemd is there to ask."""

import os
import shutil
import subprocess

PROGRAM = "systemd-inhibit"


def hold_awake(title: str) -> subprocess.Popen[bytes] | None:
    """Return the process that holds a sleep inhibitor for as long as this one lives, or None without systemd."""
    if shutil.which(PROGRAM) is None:
        return None
    command = [
        PROGRAM, "--what=sleep:idle:handle-lid-switch", "--who=Nightshift", f"--why={title}", "--mode=block",
        "tail", f"--pid={os.getpid()}", "-f", "/dev/null",
    ]  # fmt: skip
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
