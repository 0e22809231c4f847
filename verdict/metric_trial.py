"""One run of a person's metric function in a child process: batches of queries in, their values out."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nightshift.instant import boottime_s
from nightshift.states import NightError
from verdict.metric_batches import Batches
from verdict.metric_controls import Measured
from verdict.metric_form import CandidateKeys, Case, Floats, Form, call_of, set_of

Json = Mapping[str, object]


class MetricError(NightError):
    """A metric function that could not be run: names it, and says what happened."""


def run_child(spec: str, where: Path, forms: Sequence[Form], calls: Sequence[Json], within_s: float) -> Json:
    """Return what `verdict.metric_child` answers.

    Raises MetricError where it does not answer in time, ends early, or cannot load the function.
    """
    request = {"spec": spec, "where": str(where.resolve()), "forms": [form.record() for form in forms]}
    request["calls"] = list(calls)
    if not where.is_dir():
        raise MetricError(f"{spec}: there is no folder {where}")
    # -P: a `verdict` folder of the person's must not stand in for ours.
    command = [sys.executable, "-P", "-m", "verdict.metric_child"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=where, start_new_session=True
    ) as process:
        try:
            out, told = process.communicate(json.dumps(request).encode(), timeout=max(0.1, within_s))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with whatever the person's code has started
            raise MetricError(
                f"{spec} gave no answer within {within_s:.0f} s; is it waiting or looping?"
            ) from None
    try:
        answered: dict[str, object] = json.loads(out)
    except ValueError:
        last = told.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise MetricError(f"{spec} ended its process (exit code {process.returncode}): {last[0]}") from None
    if "error" in answered:
        raise MetricError(f"{spec} cannot be loaded: {answered['error']}")
    return answered


@dataclass(frozen=True)
class Trial:
    """One function and how it is to be called."""

    spec: str
    where: Path
    forms: Sequence[Form]
    keys: CandidateKeys
    until_s: float
    """Seconds since boot by which it must have answered."""
    labels_are: str = "label"
    """What a candidate's label is put under: "label" or "complies"."""

    @property
    def kind(self) -> str:
        """Return what kind of metric it is."""
        return self.forms[0].kind

    def run(
        self, batches: Batches, sets: Mapping[str, Sequence[Case]]
    ) -> tuple[Measured, dict[str, float], Json]:
        """Return the values of every batch, those of the sets of queries, and the child's whole answer.

        Raises MetricError as `run_child`.
        """
        cases = [case for batch in batches.values() for case in batch]
        calls = [call_of(case, self.kind, self.keys, self.labels_are) for case in cases]
        calls += [set_of(members, self.kind, self.keys) for members in sets.values()]
        told = run_child(self.spec, self.where, self.forms, calls, self.until_s - boottime_s())
        values = list(told["values"])  # type: ignore[call-overload]
        whole = {name: _number(value) for name, value in zip(sets, values[len(cases) :], strict=True)}
        return _measured(batches, values), whole, told


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _measured(batches: Batches, values: Sequence[object]) -> Measured:
    left = iter(values)
    numbers: dict[str, Floats] = {}
    errors: dict[str, str] = {}
    for name, batch in batches.items():
        given = [next(left) for _ in batch]
        numbers[name] = np.array([_number(value) for value in given])
        raised = [value["error"] for value in given if isinstance(value, dict)]
        errors |= {name: str(raised[0])} if raised else {}
    return Measured(numbers, errors)
