import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pytest

from models.data_catalogue import catalogue


@pytest.fixture(scope="module")
def bar(tmp_path_factory):
    """The built-in bar catalogue with 120 test queries."""
    return catalogue(tmp_path_factory.mktemp("cache"), 120)
