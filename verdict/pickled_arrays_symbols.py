"""What a pickle describes, as inert symbols: its opcodes are read, nothing it names is imported or called."""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field


class UnreadablePickle(ValueError):
    """Bytes that are no pickle, are cut off, or claim more than they hold."""


@dataclass(frozen=True)
class Name:
    """Something a pickle would import; here only its name."""

    module: str
    name: str


@dataclass(eq=False)
class Call:
    """Something a pickle would call or make; here only what with."""

    function: object
    arguments: object
    state: object = None
    parts: list[object] = field(default_factory=list)
    """What would be appended or set on the result."""


@dataclass(eq=False)
class Parts:
    """A dictionary's keys and values in turn, or a set's members."""

    parts: list[object] = field(default_factory=list)


PUSHED = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
PASSED = {"PROTO", "FRAME", "READONLY_BUFFER"}
PUT, GET = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
UNKNOWN = {"EXT1", "EXT2", "EXT4", "PERSID", "NEXT_BUFFER"}
MADE: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": Parts,
    "EMPTY_SET": Parts,
}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def symbols(data: bytes) -> object:
    """Return what a pickle describes: numbers, text, bytes, lists and tuples, and Call, Name and Parts.

    Raises UnreadablePickle where it is none, or is cut off.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.step(opcode.name, argument)
        return machine.stack[-1]
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise UnreadablePickle(
            f"these {len(data):,} bytes are no whole pickle ({type(error).__name__}: {error}); "
            "save the vectors again, best as .npy without pickle"
        ) from error


class _Machine:
    """The pickle machine of PEP 307 and PEP 3154 with its hands tied."""

    def __init__(self) -> None:
        self.stack: list[object] = []
        self.marked: list[list[object]] = []
        self.memo: dict[int, object] = {}

    def step(self, name: str, argument: object) -> None:
        """Do one opcode; raises IndexError, KeyError or ValueError where the pickle is broken."""
        if name in PUSHED:
            self.stack.append(argument)
        elif name in MADE:
            self.stack.append(MADE[name]())
        elif name in TUPLES:
            self._push_tuple(TUPLES[name])
        elif name in PUT or name == "MEMOIZE":
            self.memo[len(self.memo) if name == "MEMOIZE" else _number(argument)] = self.stack[-1]
        elif name in GET:
            self.stack.append(self.memo[_number(argument)])
        elif name in UNKNOWN:
            self.stack.append(Name("", name))
        elif name not in PASSED and name != "STOP":
            self._special(name, argument)

    def _special(self, name: str, argument: object) -> None:
        action = getattr(self, f"_do_{name.lower()}", None)
        if action is None:
            raise ValueError(f"opcode {name} is not known here")
        action(argument)

    def _pop(self, count: int) -> list[object]:
        if count > len(self.stack):
            raise IndexError("the stack is empty")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def _push_tuple(self, count: int) -> None:
        taken = tuple(self._pop(count))
        self.stack.append(taken)

    def _since_mark(self) -> list[object]:
        taken, self.stack = self.stack, self.marked.pop()
        return taken

    def _extend(self, parts: list[object]) -> None:
        top = self.stack[-1]
        if isinstance(top, list):
            top.extend(parts)
        elif isinstance(top, Call | Parts):
            top.parts.extend(parts)

    def _do_mark(self, _: object) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def _do_pop(self, _: object) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._since_mark()

    def _do_pop_mark(self, _: object) -> None:
        self._since_mark()

    def _do_dup(self, _: object) -> None:
        self.stack.append(self.stack[-1])

    def _do_list(self, _: object) -> None:
        taken = self._since_mark()
        self.stack.append(taken)

    def _do_tuple(self, _: object) -> None:
        taken = tuple(self._since_mark())
        self.stack.append(taken)

    def _do_dict(self, _: object) -> None:
        taken = Parts(self._since_mark())
        self.stack.append(taken)

    _do_frozenset = _do_dict

    def _do_append(self, _: object) -> None:
        self._extend(self._pop(1))

    def _do_setitem(self, _: object) -> None:
        self._extend(self._pop(2))

    def _do_appends(self, _: object) -> None:
        self._extend(self._since_mark())

    _do_setitems = _do_additems = _do_appends

    def _do_global(self, argument: object) -> None:
        module, _, name = str(argument).partition(" ")
        self.stack.append(Name(module, name))

    def _do_stack_global(self, _: object) -> None:
        module, name = self._pop(2)
        self.stack.append(Name(str(module), str(name)))

    def _do_binpersid(self, _: object) -> None:
        self.stack[-1] = Call(Name("", "BINPERSID"), self.stack[-1])

    def _do_reduce(self, _: object) -> None:
        function, arguments = self._pop(2)
        self.stack.append(Call(function, arguments))

    _do_newobj = _do_reduce

    def _do_newobj_ex(self, _: object) -> None:
        made, arguments, named = self._pop(3)
        self.stack.append(Call(made, (arguments, named)))

    def _do_inst(self, argument: object) -> None:
        arguments = tuple(self._since_mark())
        self._do_global(argument)
        self.stack.append(Call(self.stack.pop(), arguments))

    def _do_obj(self, _: object) -> None:
        made, *arguments = self._since_mark()
        self.stack.append(Call(made, tuple(arguments)))

    def _do_build(self, _: object) -> None:
        state, top = self._pop(1)[0], self.stack[-1]
        if isinstance(top, Call):
            top.state = state


def _number(argument: object) -> int:
    if not isinstance(argument, int):
        raise ValueError(f"{argument!r} is no place in the memo")
    return argument
