import pytest

from models.dataset import Candidate, Query
from models.fusion_floor import Floor, measure_floor
from models.settings import FusionSettings

HALF_A_MINUTE = Floor(steps=600, step_s=0.04, encode_s=6.0)


@pytest.mark.parametrize(
    ("stage_s", "told"),
    [
        (21_600, "TOO_SMALL: one training needs about 0.5 of 360 min (0.1%)"),
        (70, "one training needs about 0.5 of 1 min (42.9%)"),
        (20, "TOO_LARGE: one training needs about 0.5 of 0 min (150.0%)"),
    ],
)
def test_the_floor_is_said_in_one_sentence(stage_s, told):
    assert HALF_A_MINUTE.seconds == 30
    assert HALF_A_MINUTE.sentence(stage_s, (11, 12, 13)).startswith(told)


def test_hours_above_the_floor_go_to_the_sealed_seeds():
    assert "seeds 11, 12, 13" in HALF_A_MINUTE.sentence(21_600, (11, 12, 13))
    assert "2 of 3 seeds fit" in HALF_A_MINUTE.sentence(70, (11, 12, 13))


def test_the_floor_is_measured_on_the_data_s_own_sizes():
    def query(number):
        pool = tuple(Candidate(f"{number}-{i}", f"item {i}", i % 3, 0.0, None, {}) for i in range(5))
        return Query(str(number), f"search {number}", pool)

    few = measure_floor([query(n) for n in range(9)], FusionSettings(width=64, hidden=16, epochs=3))
    wide = measure_floor([query(n) for n in range(9)], FusionSettings(width=1024, hidden=16, epochs=3))
    assert few.steps == 2 * 3
    assert few.encode_s == pytest.approx((9 + 5) / 140)
    assert min(wide.step_s, few.step_s) > 0
