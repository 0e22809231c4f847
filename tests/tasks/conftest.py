import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pytest
from open_night import OpenNight


@pytest.fixture
def utc_start():
    return datetime(2026, 11, 25, 22, tzinfo=UTC)


@pytest.fixture
def opened(tmp_path):
    nights = []

    def open_it(plan, night="small", speed=60.0):
        nights.append(OpenNight(tmp_path, plan, night, speed))
        return nights[-1]

    yield open_it
    for night in nights:
        night.end()
