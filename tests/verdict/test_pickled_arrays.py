import os
import pickle
import struct

import numpy as np
import pytest

from verdict.pickled_arrays import arrays_in_pickle
from verdict.pickled_arrays_symbols import UnreadablePickle

PROTOCOLS = range(6)


def table(kind="<f4", seed=0):
    return (np.random.default_rng(seed).normal(size=(6, 5)) * 10).astype(kind)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ["<f4", "<f8", "<f2", ">f4", ">f8", "<i4", "u1", "?"])
def test_arrays_of_every_protocol_and_type_are_found(protocol, kind):
    (found,) = arrays_in_pickle(pickle.dumps(table(kind), protocol))
    assert found.dtype == np.float64
    assert np.array_equal(found, table(kind).astype(np.float64))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "order",
    [np.asfortranarray, np.transpose, lambda a: a[::2], lambda a: a[:, 1], lambda a: a.reshape(2, 3, 5)],
)
def test_the_order_of_the_numbers_is_kept(protocol, order):
    array = order(table())
    (found,) = arrays_in_pickle(pickle.dumps(array, protocol))
    assert np.array_equal(found, array)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3])
def test_module_names_of_numpy_1_and_2_are_both_known(protocol):
    new = pickle.dumps(table(), protocol)
    old = new.replace(b"numpy._core", b"numpy.core")
    assert old != new
    assert np.array_equal(arrays_in_pickle(old)[0], arrays_in_pickle(new)[0])


def test_names_of_numpy_1_are_known_in_protocol_5():
    new = pickle.dumps(table(), 5)
    longer, shorter = b"numpy._core.numeric", b"numpy.core.numeric"
    old = new.replace(bytes([len(longer)]) + longer, bytes([len(shorter)]) + shorter)
    size = struct.unpack("<Q", old[3:11])[0]
    old = old[:3] + struct.pack("<Q", size - 1) + old[11:]
    assert np.array_equal(pickle.loads(old), table())  # so that the bytes are a pickle NumPy reads
    assert np.array_equal(arrays_in_pickle(old)[0], table())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_several_arrays_come_in_their_order(protocol):
    first, second, third = table(seed=1), table(">f8", seed=2), table("<f2", seed=3)
    held = {"a": first, "deeper": (second, [third], "text", None)}
    found = arrays_in_pickle(pickle.dumps(held, protocol))
    assert [np.array_equal(a, b) for a, b in zip(found, (first, second, third), strict=True)] == [True] * 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("numbers", "shape"),
    [
        ([1.5, -2.0, 3.25], (3,)),
        ((1.5, 7, 2**70), (3,)),
        ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], (3, 2)),
        (((1.0, 2), [3, 4.0]), (2, 2)),
        ([np.float32(1.5), np.float64(2.5)], (2,)),
    ],
)
def test_plain_lists_of_numbers_are_arrays_too(protocol, numbers, shape):
    (found,) = arrays_in_pickle(pickle.dumps(numbers, protocol))
    assert found.shape == shape
    assert np.array_equal(
        found,
        np.array([[float(v) for v in r] for r in numbers] if len(shape) == 2 else numbers, dtype=np.float64),
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_in_an_array_are_looked_into(protocol):
    held = np.empty(3, dtype=object)
    held[0], held[1], held[2] = np.arange(4.0), [5.0, 6.0], None
    found = arrays_in_pickle(pickle.dumps(held, protocol))
    assert [each.tolist() for each in found] == [[0, 1, 2, 3], [5, 6]]


@pytest.mark.parametrize("held", [None, "text", [], [True, False], {"a": 1.5}, b"bytes", [1.0, "two"]])
def test_what_is_no_array_gives_none(held):
    assert arrays_in_pickle(pickle.dumps(held)) == []


class Harm:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_harmful_pickle_never_runs(protocol, tmp_path):
    marker = tmp_path / "it-ran"
    data = pickle.dumps({"bad": Harm(marker), "good": table()}, protocol)
    (found,) = arrays_in_pickle(data)
    assert np.array_equal(found, table())
    assert arrays_in_pickle(pickle.dumps(Harm(marker), protocol)) == []
    assert not marker.exists()
    pickle.loads(data)
    assert marker.exists()  # so that the pickle was harmful indeed


def test_an_array_whose_module_is_someone_elses_is_not_believed():
    data = pickle.dumps(table(), 2).replace(b"numpy._core.multiarray", b"mumpy._core.multiarray")
    assert max(each.size for each in arrays_in_pickle(data)) == 2  # its shape: two numbers, and no table


@pytest.mark.parametrize("end", [0, 1, 10, 100, -1])
def test_cut_off_pickles_are_refused(end):
    with pytest.raises(UnreadablePickle, match="no whole pickle"):
        arrays_in_pickle(pickle.dumps(table(), 4)[:end])


@pytest.mark.parametrize("data", [b"garbage", b"\x00" * 50, b".", b"0.", b"\x80\x04t.", b"h\x05.", b"\x85."])
def test_garbage_is_refused(data):
    with pytest.raises(ValueError, match=f"these {len(data)} bytes are no whole pickle"):
        arrays_in_pickle(data)


def test_bytes_changed_at_random_are_read_or_refused_but_never_break():
    data = pickle.dumps(
        {"x": table(), "rows": [[1.0, 2.0]] * 5, "o": np.array([table()[0]], dtype=object)}, 2
    )
    rng = np.random.default_rng(4)
    refused = 0
    for _ in range(2000):
        changed = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            changed[place] = rng.integers(0, 256)
        try:
            arrays_in_pickle(bytes(changed))
        except UnreadablePickle:
            refused += 1
    assert 500 < refused < 2000


@pytest.mark.parametrize("shape", [(6, 4), (5, 6, 1, 2), (2**40, 2**40), (-6, -5)])
def test_an_array_whose_bytes_do_not_fit_its_shape_is_left_out(shape):
    wrong, right = table(seed=5), table(seed=6)
    data = pickle.dumps([wrong.copy(), right, shape], 2)
    marker = pickle.dumps((6, 5), 2)[2:-3]
    assert data.count(marker) >= 2
    replacement = b"(" + b"".join(pickle.dumps(side, 2)[2:-1] for side in shape) + b"t"
    data = data.replace(marker, replacement, 1)
    found = arrays_in_pickle(data)
    assert np.array_equal(found[0], right)


def test_a_small_pickle_cannot_claim_a_large_matrix():
    row = [float(number) for number in range(1000)]
    data = pickle.dumps([row] * 100_000)
    with pytest.raises(UnreadablePickle, match="more numbers than bytes"):
        arrays_in_pickle(data)


def test_deep_nesting_is_no_way_out():
    held = [1.0, 2.0]
    data = b"(" + b"(" * 50_000 + pickle.dumps(held, 0)[:-1] + b"l" * 50_001 + b"."
    assert [each.tolist() for each in arrays_in_pickle(data)] == [[[1.0, 2.0]]]


def test_a_list_that_holds_itself_ends():
    held = [[1.0, 2.0]]
    held.append(held)
    assert [each.tolist() for each in arrays_in_pickle(pickle.dumps(held))] == [[1.0, 2.0]]
