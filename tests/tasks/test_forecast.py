import numpy as np
import pytest

from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.forecast import check_bedtime, newest_run
from tasks.night_seen import loss_trend


def test_a_trend_needs_more_than_two_points_and_survives_noise():
    rng = np.random.default_rng(1)
    falling = list(np.linspace(1, 0.2, 40) + rng.normal(0, 0.05, 40))
    assert loss_trend(falling) is True
    assert loss_trend(list(rng.normal(0.5, 0.05, 40))) is False
    assert loss_trend(list(reversed(falling))) is False
    assert loss_trend([0.9, 0.1]) is None


def test_a_night_that_never_began_is_said_to_be_so(tmp_path):
    with pytest.raises(NightError, match="holds no night yet"):
        newest_run(tmp_path)
    with pytest.raises(NightError, match="seal"):
        check_bedtime(RunDir(tmp_path))
