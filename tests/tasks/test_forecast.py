from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from nightshift.instant import parse_utc
from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.forecast import check_bedtime, loss_trend, newest_run, predicted_end
from tasks.night_status import StageStatus

START = datetime(2026, 11, 24, 22, 30, tzinfo=UTC)


def test_a_trend_needs_more_than_two_points_and_survives_noise():
    rng = np.random.default_rng(1)
    falling = list(np.linspace(1, 0.2, 40) + rng.normal(0, 0.05, 40))
    assert loss_trend(falling) is True
    assert loss_trend(list(rng.normal(0.5, 0.05, 40))) is False
    assert loss_trend(list(reversed(falling))) is False
    assert loss_trend([0.9, 0.1]) is None


def stage(samples, total):
    return StageStatus(
        "train", "Training", START.isoformat(), (START + timedelta(hours=6)).isoformat(),
        deadline=(START + timedelta(hours=6)).isoformat(), start=START.isoformat(), samples=samples, total=total,
    )  # fmt: skip


def test_a_stage_is_predicted_to_end_at_its_rate_or_at_its_deadline():
    now = START + timedelta(hours=1)
    assert predicted_end(stage(50, 100), now) == START + timedelta(hours=2)
    assert predicted_end(stage(1, 100), now) == START + timedelta(hours=6)
    assert predicted_end(stage(0, 100), now) == parse_utc(stage(0, 1).deadline)


def test_a_night_that_never_began_is_said_to_be_so(tmp_path):
    with pytest.raises(NightError, match="holds no night yet"):
        newest_run(tmp_path)
    with pytest.raises(NightError, match="seal"):
        check_bedtime(RunDir(tmp_path))
