from datetime import UTC, datetime, timedelta

import pytest
from open_night import finished_night
from small_night import counting_plan

from tasks import tonight
from tasks.tonight import OVER, why_not_tonights
from verdict.seal import read_seal

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tonight")
    with finished_night(folder, counting_plan(folder, 5)) as one:
        yield one.run


def test_an_older_night_is_not_taken_for_tonights(night, monkeypatch):
    seal = read_seal(night)
    real = seal.model_copy(update={"speed": 1.0})
    monkeypatch.setattr(tonight, "read_seal", lambda _run: real)
    monkeypatch.setattr(tonight, "next_of_campaign", lambda _plan, _home: seal.night)
    begun = real.window.start  # 28 March 2026, the night of seven hours
    assert why_not_tonights(night, begun + timedelta(minutes=45)) == ""
    assert why_not_tonights(night, begun + timedelta(hours=8)) == ""
    assert why_not_tonights(night, begun + timedelta(hours=22.5)) == "", "the next evening, before it begins"
    missing = why_not_tonights(night, begun + timedelta(hours=24))
    assert "small of 2026-03-28" in missing
    assert "worker" in missing
    monkeypatch.setattr(tonight, "next_of_campaign", lambda _plan, _home: None)
    assert why_not_tonights(night, begun + timedelta(hours=32)) == OVER


def test_a_rehearsals_dates_are_its_own(night):
    assert why_not_tonights(night, datetime(2030, 1, 1, tzinfo=UTC)) == ""
