"""What is known of how long judging takes, and on which data."""

from tasks.durations import data_set_of
from tasks.judge_times import measured_judge_s, remember_judge_s


class Sealed:
    """As much of a seal as is asked for."""

    class Named:
        name, origin = "fusion", "/runs/.cache/data-0123456789abcdef-aaaaaaaaaaaaaaaa"

    night = data = Named


def test_newer_content_of_one_address_is_the_same_data_set(tmp_path):
    remember_judge_s(tmp_path, Sealed, 12.0)
    assert measured_judge_s(tmp_path, "fusion", "/runs/.cache/data-0123456789abcdef-bbbbbbbbbbbbbbbb") == 12.0
    assert measured_judge_s(tmp_path, "fusion", "/runs/.cache/data-ffffffffffffffff-aaaaaaaaaaaaaaaa") is None
    assert measured_judge_s(tmp_path, "ltr", Sealed.data.origin) is None
    assert data_set_of("/srv/shop") == "/srv/shop"
