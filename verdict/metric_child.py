"""Runs a person's metric function in a process of its own: `python -P -m verdict.metric_child`.

One JSON object comes in on stdin, one goes out on stdout; whatever the function prints goes to stderr.
Only the standard library is loaded before the person's code, so that none of our modules stands in for
one of theirs.

In: `spec`, `where`, `forms` (each `roles`, `whole`, `container`), `calls` (each a role -> value, and `set`).
Out: `parameters` (name -> required), `document`, `chosen` (position in `forms`, or -1), `values` (a number,
null, or `{"error": sentence}` per call), `read` and `missing` (keys asked of candidates); or `error`.
"""

import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TypeVar

Result = TypeVar("Result")
POOL_FILE = str(inspect.getsourcefile(ThreadPoolExecutor))
PROBES = 3
"""Calls by which it is decided how the function wants to be called."""


class Watched(dict[str, object]):
    """A candidate that remembers which of its keys were asked for."""

    read: set[str]
    missing: set[str]

    def note(self, key: str) -> None:
        """Remember one key."""
        (self.read if dict.__contains__(self, key) else self.missing).add(str(key))

    def __getitem__(self, key: str) -> object:
        self.note(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.note(str(key))
        return super().__contains__(key)

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        """Return the value, or the default, as any dictionary does."""
        self.note(key)
        return super().get(key, default)


def attempt(pool: ThreadPoolExecutor, work: Callable[[], Result]) -> tuple[Result | None, str]:
    """Return the result and "", or None and one sentence; whatever a person's code raises ends here."""
    future = pool.submit(work)
    error = future.exception()
    if error is None:
        return future.result(), ""
    stack = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in stack if not f.filename.startswith("<") and f.filename not in (__file__, POOL_FILE)]
    if not theirs:
        return None, str(error)
    return (
        None,
        f"{type(error).__name__}: {error} ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})",
    )


def load_file(path: Path) -> ModuleType:
    """Return the module of one file, its folder importable.

    Raises ImportError where the file is no Python.
    """
    sys.path.insert(0, str(path.parent))
    found = spec_from_file_location(path.stem, path)
    if found is None or found.loader is None:
        raise ImportError(f"{path} cannot be loaded as Python")
    module = module_from_spec(found)
    sys.modules[path.stem] = module
    found.loader.exec_module(module)
    return module


def load(spec: str, where: Path) -> Callable[..., object]:
    """Return the function that `module:function` or `file.py:function` names.

    Raises ImportError or AttributeError with what is there instead.
    """
    target, _, name = spec.rpartition(":")
    sys.path.insert(0, str(where))
    sys.modules.pop("verdict", None)
    if target.endswith(".py"):
        path = (where / target).resolve()
        if not path.is_file():
            raise ImportError(f"there is no file {path}")
        module = load_file(path)
    else:
        module = import_module(target)
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            there = [n for n, value in vars(module).items() if inspect.isfunction(value)][:8]
            raise AttributeError(f"{target} has no {name!r}; its functions: {', '.join(there) or 'none'}")
        found = getattr(found, part)
    if not callable(found):
        raise AttributeError(f"{spec} is a {type(found).__name__}, not a function")
    return found


def parameters(function: Callable[..., object]) -> dict[str, bool]:
    """Return the names of the positional parameters, and whether each must be given."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return {}
    given = [p for p in signature.parameters.values() if p.kind in kinds]
    return {p.name: p.default is inspect.Parameter.empty for p in given}


def shaped(value: object, container: str, keys: tuple[set[str], set[str]]) -> object:
    """Return one argument as lists, arrays, one table or a tensor; candidates are watched."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        watched = [Watched(item) for item in value]
        for item in watched:
            item.read, item.missing = keys
        return watched
    if container == "lists" or not isinstance(value, list):
        return value
    if container == "tensors":
        import torch

        return torch.tensor(value)
    import numpy as np

    nested = bool(value) and isinstance(value[0], list)
    return [np.asarray(row) for row in value] if nested and container == "arrays" else np.asarray(value)


def number(value: object) -> float | None:
    """Return the value as a number, None for None.

    Raises TypeError where it is neither.
    """
    if value is None:
        return None
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        raise TypeError(f"it returned a {type(value).__name__}, not a number")
    return float(value)


class Caller:
    """Calls one function in one form."""

    def __init__(self, function: Callable[..., object], pool: ThreadPoolExecutor) -> None:
        self.function, self.pool = function, pool
        self.keys: tuple[set[str], set[str]] = (set(), set())

    def call(self, form: Mapping[str, object], call: Mapping[str, object]) -> object:
        """Return a number, None, or what went wrong."""
        whole, container = bool(form["whole"]), str(form["container"])
        roles = [str(role) for role in form["roles"]]  # type: ignore[attr-defined]
        if call.get("set") and not whole:
            return None
        given = [[call[r]] if whole and not call.get("set") else call[r] for r in roles if r in call]
        extra = {str(name): 10 for name in form["cutoffs"]}  # type: ignore[attr-defined]

        def work() -> float | None:
            arguments = [shaped(value, container, self.keys) for value in given]
            return number(self.function(*arguments, **extra))

        value, error = attempt(self.pool, work)
        return {"error": error} if error else value

    def choose(self, forms: Sequence[Mapping[str, object]], probes: Sequence[Mapping[str, object]]) -> int:
        """Return the first form that gives numbers, else the first that fails nowhere, else -1."""
        sound = -1
        for position, form in enumerate(forms):
            values = [self.call(form, probe) for probe in probes]
            if all(isinstance(value, float) for value in values):
                return position
            if sound < 0 and not any(isinstance(value, dict) for value in values):
                sound = position
        return sound


def answer(request: Mapping[str, object]) -> dict[str, object]:
    """Return what the parent is told."""
    with ThreadPoolExecutor(1) as pool:
        function, error = attempt(pool, lambda: load(str(request["spec"]), Path(str(request["where"]))))
        if function is None:
            return {"error": error}
        told: dict[str, object] = {"parameters": parameters(function), "document": function.__doc__ or ""}
        forms, calls = list(request["forms"]), list(request["calls"])  # type: ignore[call-overload]
        caller = Caller(function, pool)
        chosen = caller.choose(forms, calls[:PROBES])
        form = forms[max(chosen, 0)] if forms else None
        told["values"] = [caller.call(form, call) for call in calls] if form else []
        told |= {"chosen": chosen, "read": sorted(caller.keys[0]), "missing": sorted(caller.keys[1])}
        return told


def main() -> None:
    """Answer one request; the real stdout is kept from the person's code, also from its C libraries."""
    answers = os.dup(1)
    os.dup2(2, 1)
    told = json.dumps(answer(json.load(sys.stdin)))
    with os.fdopen(answers, "w") as file:
        file.write(told)
    sys.stderr.flush()
    os._exit(0)  # threads that the person's code left behind must not hold the answer up


if __name__ == "__main__":
    main()
