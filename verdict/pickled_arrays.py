"""The numbers inside a pickle, located without executing it.

NumPy's own pickles (module names of versions 1 and 2, protocols 0 to 5) are a call that would rebuild an
array from a shape, a type and bytes; the three are read off the call, which is never made.
"""

import math
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from verdict.pickled_arrays_symbols import Call, Name, Parts, UnreadablePickle, symbols

Floats = NDArray[np.float64]
Row = list[object] | tuple[object, ...]
HOMES = {
    "_reconstruct": ("numpy.core.multiarray", "numpy._core.multiarray"),
    "scalar": ("numpy.core.multiarray", "numpy._core.multiarray"),
    "_frombuffer": ("numpy.core.numeric", "numpy._core.numeric"),
    "dtype": ("numpy",),
    "encode": ("_codecs",),
    "bytearray": ("builtins", "__builtin__"),
}
NUMERIC = re.compile(r"[<>=|]?(f[248]|[iu][1248]|b1)")
MOST_DIMENSIONS = 32


class _Misfit(ValueError):
    """An array whose parts do not fit together."""


def arrays_in_pickle(data: bytes) -> list[Floats]:
    """Return the numeric arrays in a pickle, in its own order; nothing in it is imported, called or made.

    NumPy arrays of floats, integers or booleans, and lists or tuples of numbers; lists of lists of one length
    become one matrix. An array whose bytes do not fit its shape is left out. Raises UnreadablePickle (a
    ValueError) where the bytes are no whole pickle, or where the arrays have more numbers than it has bytes.
    """
    left, found = len(data), []
    for node in _leaves(symbols(data)):
        left -= _listed(node)
        if left < 0:
            break
        try:
            array = _array(node)
        except _Misfit:
            continue
        left -= 0 if _listed(node) else array.size
        found.append(array)
    if left < 0:
        raise UnreadablePickle(
            f"these {len(data):,} bytes claim to be more numbers than bytes; leave them out"
        )
    return [array for array in found if array.size]


def _leaves(root: object) -> Iterator[object]:
    """Yield the arrays and lists of numbers below a symbol, each once and in order."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen or not isinstance(node, list | tuple | Call | Parts):
            continue
        seen.add(id(node))
        if _is_leaf(node):
            yield node
        else:
            waiting.extend(reversed(_children(node)))


def _children(node: object) -> Row:
    if isinstance(node, Parts):
        return node.parts
    if not isinstance(node, Call):
        return node if isinstance(node, list | tuple) else []
    if _calls(node, "_reconstruct"):
        return [_pieces(node)[2]]
    below: list[object] = []
    for each in (node.arguments, node.state):
        below.extend(each if isinstance(each, tuple) else [each])
    return below + node.parts


def _calls(node: object, name: str) -> bool:
    function = node.function if isinstance(node, Call) else None
    return isinstance(function, Name) and function.name == name and function.module in HOMES[name]


def _is_leaf(node: object) -> bool:
    if isinstance(node, list | tuple):
        return bool(node) and (_are_numbers(node) or _are_rows(node))
    if _calls(node, "_reconstruct"):
        return not isinstance(_pieces(node)[2], list)
    return _calls(node, "_frombuffer")


def _are_numbers(values: Row) -> bool:
    return all(type(value) in (int, float) or _calls(value, "scalar") for value in values)


def _are_rows(values: Row) -> bool:
    rows = {id(value): value for value in values}.values()  # a row named a million times is read once
    if not all(isinstance(row, list | tuple) and row for row in rows):
        return False
    return len({len(row) for row in rows}) == 1 and all(_are_numbers(row) for row in rows)  # type: ignore


def _listed(node: object) -> int:
    """Return how many numbers a list stands for, 0 for anything else."""
    if not isinstance(node, list | tuple):
        return 0
    return len(node) * (len(node[0]) if isinstance(node[0], list | tuple) else 1)


def _array(node: object) -> Floats:
    if isinstance(node, list | tuple):
        rows = [[_value(v) for v in row] if isinstance(row, list | tuple) else _value(row) for row in node]
        return np.array(rows, dtype=np.float64)
    shape, kind, payload, by_columns = _pieces(node)
    return _from_bytes(shape, _dtype(kind), _payload(payload), by_columns)


def _value(number: object) -> float:
    if isinstance(number, Call):
        kind, payload = _first(number.arguments, 2)
        return float(_from_bytes((1,), _dtype(kind), _payload(payload), False)[0])
    try:
        return float(number) if isinstance(number, int | float) else math.nan
    except OverflowError as error:
        raise _Misfit("a whole number too large for a float") from error


def _first(values: object, count: int) -> list[object]:
    """Return the first values of a tuple, None for those it lacks or where it is no tuple."""
    found = list(values[:count]) if isinstance(values, tuple) else []
    return found + [None] * (count - len(found))


def _pieces(node: object) -> tuple[object, object, object, bool]:
    """Return (shape, type, bytes, whether columns come first) of an array's call, None where missing."""
    if not isinstance(node, Call):
        return None, None, None, False
    if _calls(node, "_frombuffer"):
        payload, kind, shape, order = _first(node.arguments, 4)
        return shape, kind, payload, order == "F"
    state = node.state[-4:] if isinstance(node.state, tuple) else ()
    shape, kind, by_columns, payload = _first(state, 4)
    return shape, kind, payload, bool(by_columns)


def _dtype(kind: object) -> np.dtype[np.generic]:
    if not isinstance(kind, Call) or not _calls(kind, "dtype"):
        raise _Misfit("no type")
    code, order = _first(kind.arguments, 1)[0], _first(kind.state, 2)[1]
    if not isinstance(code, str) or not NUMERIC.fullmatch(code):
        raise _Misfit("not a type of numbers")
    return np.dtype(code).newbyteorder(">" if order == ">" else "<")


def _payload(value: object) -> bytes:
    """Return an array's bytes, from bytes, Latin-1 text, or calls that would make bytes of it."""
    for _ in range(2):
        if isinstance(value, Call) and (_calls(value, "encode") or _calls(value, "bytearray")):
            value = _first(value.arguments, 1)[0]
    if isinstance(value, str):
        try:
            return value.encode("latin-1")
        except UnicodeEncodeError as error:
            raise _Misfit("text that is no bytes") from error
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise _Misfit("no bytes")


def _from_bytes(shape: object, kind: np.dtype[np.generic], payload: bytes, by_columns: bool) -> Floats:
    if not isinstance(shape, tuple) or len(shape) > MOST_DIMENSIONS:
        raise _Misfit("no shape")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise _Misfit("no shape")
    if not payload or math.prod(shape) * kind.itemsize != len(payload):
        raise _Misfit(f"{len(payload)} bytes for a shape of {shape}")
    values = np.frombuffer(payload, dtype=kind).reshape(shape, order="F" if by_columns else "C")
    return values.astype(np.float64)
