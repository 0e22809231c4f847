"""Do the five published claims come out INVALID, each for its true reason?

`python -m benchmarks.history [--data DATA]`. DATA is `production_dataset.json`. Each claim is worked out
again on it (`benchmarks.historic_claims`) and put through the product's own checks
(`benchmarks.historic_audit`); nothing is looked up. Exit 1 where a claim is not INVALID, 2 without data.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import historic_claims as claims
from benchmarks.historic_audit import (
    metric_reasons,
    night_reasons,
    saturation_reasons,
    table_reasons,
    training_reasons,
)
from benchmarks.record import keep, seconds
from models.data_folder import load_split
from models.data_production import GRADES, read_production
from models.dataset import Query
from nightshift.states import CriterionState, NightError
from verdict.metric_form import CandidateKeys
from verdict.statistics import t_interval

REPOSITORY = Path(__file__).parents[1]
DATA = REPOSITORY.parent / "shared" / "data" / "production_dataset" / "production_dataset.json"
SEED, SHOWN = 7, 3
"""Of the drawn vectors; reasons per claim in the table, the gravest first."""
Floats = NDArray[np.float64]
Evaluator = Callable[[claims.Ranking], float]


@dataclass(frozen=True)
class Claim:
    """One claim, worked out again and audited."""

    published: claims.Published
    reproduced: str
    reasons: list[str]
    """Why it cannot be believed, the gravest first; empty where nothing speaks against it."""

    @property
    def state(self) -> str:
        """Return INVALID, or NOT INVALID where no check found anything."""
        return CriterionState.INVALID.value if self.reasons else "NOT INVALID"

    def row(self) -> dict[str, object]:
        """Return the claim as a line of the table."""
        return {
            "claim": self.published.claim,
            "published": self.published.figure,
            "reproduced": self.reproduced,
            "state": self.state,
            "true reason": "; ".join(self.reasons[:SHOWN]) or "-",
        }


@dataclass(frozen=True)
class History:
    """The person's data set, as it is stored and as the honest loader reads it."""

    rankings: list[list[claims.Candidate]]
    """Candidates per query, in the stored order, with every key."""
    texts: list[str]
    queries: list[Query]
    keys: CandidateKeys


def read_history(path: Path, folder: Path) -> History:
    """Return the data set; `folder` takes the loader's cache.

    Raises NightError where the file is absent or of another format.
    """
    source, problems = read_production(path, folder)
    if source is None:
        raise NightError(f"{path}: {problems[0].what}; {problems[0].mend}")
    records = json.loads(path.read_text(encoding="utf-8"))["inspirations"]
    rankings = [list(record["candidates"]) for record in records]
    queries = [query for split in source.splits.values() for query in load_split(split, None)]
    return History(rankings, [str(record["query"]) for record in records], queries, keys_of(rankings[0][0]))


def keys_of(candidate: claims.Candidate) -> CandidateKeys:
    """Return the keys that candidates have, the tier being the label."""
    used = ("id", "score", "quality_tier")
    more = {k: v for k, v in candidate.items() if k not in used and isinstance(v, str | int | float | bool)}
    grades = sorted(GRADES, key=lambda tier: GRADES[tier])
    return CandidateKeys(label="quality_tier", grades=tuple(grades), complies="", more=more)


def spec_of(evaluator: Callable[..., float]) -> str:
    """Return how a function of `benchmarks.historic_claims` is named to the audit."""
    return f"benchmarks.historic_claims:{evaluator.__name__}"


def _values(evaluator: Evaluator, rankings: Sequence[claims.Ranking]) -> Floats:
    return np.array([evaluator(ranking) for ranking in rankings])


def _table(metric: str, before: Floats, after: Floats) -> list[dict[str, object]]:
    columns = (("baseline", before), ("V1", after))
    return [{"query_id": i, "system": s, metric: v[i]} for s, v in columns for i in range(len(v))]


def ndcg_claim(history: History, folder: Path) -> Claim:
    """Return the claim on nDCG: the stored order against a sort by the stored score, no model at all."""
    before = _values(claims.own_score_ndcg, history.rankings)
    after = _values(claims.own_score_ndcg, [claims.by_score(r) for r in history.rankings])
    reasons = metric_reasons(spec_of(claims.own_score_ndcg), REPOSITORY, history.keys)
    reasons += saturation_reasons(history.queries)
    shown = f"{(after - before).mean():+.4f} by sorting by the stored score, no model"
    return Claim(claims.PUBLISHED["ndcg"], shown, reasons)


def compliance_claim(history: History, folder: Path) -> Claim:
    """Return the claim on Compliance@1: a constant added to every score."""
    before = _values(claims.own_score_compliance, history.rankings)
    boosted = [claims.by_score(ranking, claims.BOOST) for ranking in history.rankings]
    after = _values(claims.own_score_compliance, boosted)
    reasons = metric_reasons(spec_of(claims.own_score_compliance), REPOSITORY, history.keys)
    reasons += table_reasons(_table("compliance@1", before, after), folder)
    shown = f"{(after - before).mean():+.4f} by adding {claims.BOOST:g} to every score"
    return Claim(claims.PUBLISHED["compliance"], shown, reasons)


def fusion_claim(history: History, folder: Path) -> Claim:
    """Return the claim on V2: trained on drawn vectors, measured on the queries it was trained on."""
    rng, queries = np.random.default_rng(SEED), len(history.rankings)
    items = queries * 2 * claims.SHOWN
    weights = claims.trained_scorer(claims.drawn_pictures(items, rng), queries)
    features = claims.drawn_pictures(items, rng)  # read again, so drawn again
    accuracies = claims.pair_accuracies(weights, features, queries)
    reasons = training_reasons(accuracies, features, history.texts, history.texts)
    reasons += metric_reasons(spec_of(claims.accuracy_gain), REPOSITORY, history.keys)
    accuracy = float(accuracies.mean())
    shown = f"{accuracy * claims.GAIN_PER_ACCURACY:+.4f} (pair accuracy {100 * accuracy:.1f} %)"
    return Claim(claims.PUBLISHED["fusion"], shown, reasons)


def no_gain_claim(history: History, folder: Path) -> Claim:
    """Return the claim that V2 gains nothing: the evaluator reads a key that no candidate has."""
    before = _values(claims.missing_key_ndcg, history.rankings)
    after = _values(claims.missing_key_ndcg, [claims.by_score(r) for r in history.rankings])
    reasons = metric_reasons(spec_of(claims.missing_key_ndcg), REPOSITORY, history.keys)
    reasons += table_reasons(_table("ndcg@10", before, after), folder)
    interval = t_interval(after - before)
    shown = f"{interval.mean:+.6f}, CI [{interval.low:g}, {interval.high:g}]"
    return Claim(claims.PUBLISHED["no_gain"], shown, reasons)


def night_claim(history: History, folder: Path) -> Claim:
    """Return the claim that a night was complete."""
    done: list[int] = []
    took_s = seconds(lambda: done.append(claims.short_night(history.rankings, folder)))
    reasons = night_reasons(folder / "events.jsonl", claims.NIGHT_TOOK_S, claims.NIGHT_PLANNED_S)
    shown = f"{1000 * took_s:.1f} ms here, {done[0]} queries of {len(history.rankings)}"
    return Claim(claims.PUBLISHED["night"], shown, reasons)


AUDITS = (ndcg_claim, compliance_claim, fusion_claim, no_gain_claim, night_claim)


def audit(path: Path) -> list[Claim]:
    """Return the five claims, worked out again on this data set and audited.

    Raises NightError where the data set is absent or of another format.
    """
    with tempfile.TemporaryDirectory() as cache:
        history = read_history(path, Path(cache))
        return [claim(history, Path(cache)) for claim in AUDITS]


def main(words: Sequence[str] | None = None) -> int:
    """Return the exit code; prints and keeps one row per claim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the person's production_dataset.json")
    path = parser.parse_args(words).data
    if not path.is_file():
        print(f"history: there is no {path}; name the data set with --data", file=sys.stderr)
        return 2
    try:
        found = audit(path)
    except NightError as error:
        print(f"history: {error}", file=sys.stderr)
        return 2
    invalid = sum(claim.state == CriterionState.INVALID for claim in found)
    keep(
        "history",
        "Do the five published claims come out INVALID, each for its true reason?",
        [claim.row() for claim in found],
        f"{invalid} of {len(found)} claims are INVALID",
        ("numpy", "scipy", "scikit-learn"),
    )
    return 0 if invalid == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
