"""How a person's metric function is called: which parameter takes what, read from its names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nightshift.states import NightError

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
RANKING, COMPLIANCE, CANDIDATES, GAIN, WHOLE = "ranking", "compliance", "candidates", "gain", "whole"
KINDS = (RANKING, WHOLE, COMPLIANCE, CANDIDATES, GAIN)
CUTOFFS = ("k", "topk", "top_k", "n", "at", "cutoff")
ABOUT_LABELS = ("label", "relev", "true", "truth", "grade", "gold", "target", "compl", "constraint", "satisf")
ABOUT_COMPLIANCE = ("compl", "constraint", "satisf")
ABOUT_BASE = ("base", "v1", "old", "reference", "before", "control")
ABOUT_SETS = ("all_", "per_query", "lists", "batch", "queries", "rankings")


@dataclass(frozen=True)
class Case:
    """One query, ranked: scores and labels of its N candidates."""

    scores: Floats
    labels: Labels
    base: Floats | None = None
    """The baseline's scores, for functions that return a gain."""


@dataclass(frozen=True)
class CandidateKeys:
    """The keys that each candidate of the person's data has."""

    score: str = "score"
    label: str = "relevance"
    grades: tuple[float | int | str, ...] = (0, 1, 2, 3)
    """What stands under `label` for grades 0, 1, 2 and 3."""
    complies: str = "complies"
    """Empty where the data has no such label."""
    more: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    """Other keys, the same in every candidate."""


@dataclass(frozen=True)
class Form:
    """One way to call a function."""

    kind: str
    roles: tuple[str, ...]
    whole: bool = False
    """Takes lists of queries instead of one query."""
    container: str = "lists"
    cutoffs: tuple[str, ...] = ()
    """Parameters that must be given and mean "the first so many": they get 10."""

    def record(self) -> dict[str, object]:
        """Return what the child process reads."""
        return {
            "roles": list(self.roles),
            "whole": self.whole,
            "container": self.container,
            "cutoffs": list(self.cutoffs),
        }


def _about(name: str, words: Sequence[str]) -> bool:
    return any(word in name.lower() for word in words)


def kind_of(name: str, wanted: Sequence[str]) -> str:
    """Return the kind that a function's name and parameters speak of.

    Raises NightError where they fit none.
    """
    if len(wanted) == 1:
        return CANDIDATES
    if len(wanted) == 2:
        return COMPLIANCE if _about(" ".join(wanted), ABOUT_COMPLIANCE) else RANKING
    if len(wanted) == 3:
        return GAIN
    raise NightError(
        f"{name} takes {len(wanted)} arguments; a metric takes (scores, labels), (scores, complies), "
        "(scores, baseline, labels) or (candidates)"
    )


def _roles(kind: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return which role each parameter plays; where the names are silent, the usual order."""
    if kind == CANDIDATES:
        return ("candidates",)
    if kind == GAIN:
        told = [
            "labels" if _about(n, ABOUT_LABELS) else "base" if _about(n, ABOUT_BASE) else "" for n in wanted
        ]
        roles = [role or "scores" for role in told]
        return tuple(roles) if len(set(roles)) == 3 else ("scores", "base", "labels")
    first, second = (_about(name, ABOUT_LABELS) and "score" not in name.lower() for name in wanted)
    return ("labels", "scores") if first and not second else ("scores", "labels")


def forms_of(name: str, parameters: Mapping[str, bool], kind: str | None) -> list[Form]:
    """Return the ways to call this function, the likeliest first.

    Raises NightError where its parameters fit no kind, or `kind` is unknown.
    """
    if kind is not None and kind not in KINDS:
        raise NightError(f"{kind!r} is no kind of metric; give one of {', '.join(KINDS)}")
    required = [p for p, must in parameters.items() if must]
    cutoffs = tuple(p for p in required if p.lower() in CUTOFFS and len(required) > 1)
    wanted = [p for p in required if p not in cutoffs]
    if len(wanted) < 2 and len(parameters) >= 2 and kind not in (None, CANDIDATES):
        wanted = list(parameters)[:2]
    wanted = wanted or list(parameters)[:2] or ["scores", "labels"]
    found = kind_of(name, wanted) if kind in (None, WHOLE) else str(kind)
    if found == CANDIDATES:
        return [Form(found, ("candidates",), cutoffs=cutoffs)]
    if len(wanted) != (3 if found == GAIN else 2):
        raise NightError(f"{name} takes {len(wanted)} arguments, which is not what a {found} metric takes")
    return _containers(found, _roles(found, wanted), cutoffs, _first_whole(kind, wanted))


def _first_whole(kind: str | None, wanted: Sequence[str]) -> bool | None:
    """Return whether sets of queries are tried first; None: nothing but sets."""
    return None if kind == WHOLE else _about(" ".join(wanted), ABOUT_SETS)


def _containers(
    kind: str, roles: tuple[str, ...], cutoffs: tuple[str, ...], whole: bool | None
) -> list[Form]:
    single = [Form(kind, roles, False, c, cutoffs) for c in ("lists", "arrays")]
    tensors = [Form(kind, roles, False, "tensors", cutoffs)]
    sets = [Form(kind, roles, True, c, cutoffs) for c in ("lists", "arrays", "table")]
    if whole is None:
        return sets
    return [*sets, *single, *tensors] if whole else [*single, *sets, *tensors]


def call_of(case: Case, kind: str, keys: CandidateKeys, candidate_labels: str = "label") -> dict[str, object]:
    """Return one query as the child process reads it, role by role."""
    if kind == CANDIDATES:
        return {"candidates": candidates_of(case, keys, candidate_labels)}
    flags = kind == COMPLIANCE
    labels = [bool(label) if flags else int(label) for label in case.labels]
    call: dict[str, object] = {"scores": case.scores.tolist(), "labels": labels}
    return call if case.base is None else call | {"base": case.base.tolist()}


def set_of(cases: Sequence[Case], kind: str, keys: CandidateKeys) -> dict[str, object]:
    """Return many queries as one call."""
    calls = [call_of(case, kind, keys) for case in cases]
    return {"set": True} | {role: [call[role] for call in calls] for role in calls[0]}


def candidates_of(case: Case, keys: CandidateKeys, labels_are: str) -> list[dict[str, object]]:
    """Return a ranked list of candidates, best score first; `labels_are` is "label" or "complies"."""
    order = np.argsort(-case.scores, kind="stable")
    return [_candidate(int(i), case, keys, labels_are) for i in order]


def _candidate(row: int, case: Case, keys: CandidateKeys, labels_are: str) -> dict[str, object]:
    label = int(case.labels[row])
    candidate: dict[str, object] = {"id": f"item-{row}", **keys.more, keys.score: float(case.scores[row])}
    # What is not asked about is the same everywhere, so that nothing can be learned from it.
    candidate[keys.label] = keys.grades[label] if labels_are == "label" else keys.grades[0]
    if keys.complies:
        candidate[keys.complies] = bool(label) if labels_are == "complies" else True
    return candidate
