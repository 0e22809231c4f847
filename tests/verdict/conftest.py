"""One real night for all tests that spoil copies of it: launched, trained, judged, handed over once."""

import pytest

from benchmarks.nights.lab import Lab, real_night


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nights")
    return Lab(real_night(folder / "real", seed=1), folder / "copies", seed=1)
