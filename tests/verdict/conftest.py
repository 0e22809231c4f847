"""One real night for all tests that spoil copies of it: launched, trained, judged, handed over once."""

import fcntl
from pathlib import Path

import pytest

from benchmarks.nights.lab import Lab, real_night
from nightshift.rundir import RunDir


@pytest.fixture(scope="session")
def lab(tmp_path_factory, worker_id):
    """The night, had by whichever worker asks first, and a place of this worker's own for copies."""
    base = tmp_path_factory.getbasetemp()
    everybodys = base if worker_id == "master" else base.parent
    told = everybodys / "real-night.txt"
    with told.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not told.read_text():
            told.write_text(str(real_night(tmp_path_factory.mktemp("real") / "night", seed=1).path))
    return Lab(RunDir(Path(told.read_text())), tmp_path_factory.mktemp("copies"), seed=1)
