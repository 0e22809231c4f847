"""Does a Prefect server of this environment really create scheduled runs?

With SQLAlchemy 2.1 it looks healthy and never does (Prefect 3.8.8), so the only check is to try.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from flows.server import client_environment, prefect_server
from nightshift.states import NightError
from tasks.doctor import BAD, OK, Check

TRIAL_WITHIN_S = 90


def check_scheduling() -> Check:
    """Return whether a cron deployment on a fresh local server got a SCHEDULED run."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        try:
            with prefect_server(home) as url:
                return _try(url, home)
        except NightError as error:
            return Check("prefect server", BAD, str(error), "reinstall with constraints.txt")


def _try(url: str, home: Path) -> Check:
    environment = os.environ | client_environment(url, home)
    try:
        trial = subprocess.run(
            [sys.executable, "-m", "flows.scheduling_trial"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=TRIAL_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Check("prefect server", BAD, "the trial did not end", "reinstall with constraints.txt")
    if trial.returncode == 0:
        return Check("prefect server", OK, f"schedules: {trial.stdout.strip()}")
    return Check(
        "prefect server", BAD, "a cron deployment got no SCHEDULED run", "pip install 'sqlalchemy<2.1'"
    )
