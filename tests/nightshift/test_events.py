import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.events import append_line, parse_event, read_events, split_finite

AT = "2026-11-24T23:30:00+00:00"
finite = st.floats(allow_nan=False, allow_infinity=False)
lines = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["progress", "metrics", "phase"]),
            "at": st.just(AT),
            "step": st.integers(0, 10**6),
        },
        optional={
            "values": st.dictionaries(st.text(max_size=5), finite, max_size=3),
            "name": st.text(max_size=8),
        },
    ),
    min_size=1,
    max_size=8,
)


@given(lines, st.data())
def test_a_file_cut_at_any_byte_loses_only_its_last_line(tmp_path_factory, records, data):
    path = tmp_path_factory.mktemp("cut") / "events.jsonl"
    whole = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    first, offset = read_events(path)
    path.write_bytes(whole)
    second, end = read_events(path, offset)
    assert [e.step for e in first + second] == [r["step"] for r in records]
    assert end == len(whole)
    assert len(first) == whole[:cut].count(b"\n")


@given(st.binary(max_size=80))
def test_no_line_makes_the_reader_fail(line):
    parse_event(line)


def test_a_line_that_is_no_event_is_passed_over(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"kind":"progress","at":"%s","step":1}\nnot json\n{"kind":"x"}\n' % AT.encode())
    events, _ = read_events(path)
    assert [event.step for event in events] == [1]


def test_an_instant_without_an_offset_is_no_instant():
    assert parse_event(b'{"kind":"progress","at":"2026-11-24T23:30:00"}') is None


def test_numbers_that_are_not_finite_are_named():
    values, names = split_finite({"loss": math.nan, "gain": 0.5, "norm": math.inf})
    assert values == {"gain": 0.5}
    assert names == ["loss", "norm"]


def test_append_refuses_nan(tmp_path: Path):
    with pytest.raises(ValueError, match="JSON"):
        append_line(tmp_path / "x", {"loss": math.nan})
