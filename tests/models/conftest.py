import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import fsspec
import pytest

from models.data_catalogue import catalogue
from tests.tasks.small_night import make_data


@pytest.fixture(scope="module")
def bar(tmp_path_factory):
    """The built-in bar catalogue with 120 test queries."""
    return catalogue(tmp_path_factory.mktemp("cache"), 120)


@pytest.fixture
def bucket(tmp_path):
    """A file system that is not a disk, with a small data set at WHERE of `test_data_sync`."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    for path in make_data(tmp_path / "source").iterdir():
        system.pipe_file(f"/bucket/data/{path.name}", path.read_bytes())
    return system
