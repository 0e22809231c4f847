"""Why a claim cannot be believed: the product's own checks on a metric, a table, a training and a night.

Every function gives the reasons in plain words; none is an honest claim's answer.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.dataset import Query
from models.metrics import mean_ndcg
from nightshift.events import read_events
from nightshift.states import Metric
from schedules.plan import Criterion
from verdict.answer import NOT_BELIEVED
from verdict.criteria import judge_saturation
from verdict.isotropy import isotropy
from verdict.leaks import folded
from verdict.metric_form import CandidateKeys
from verdict.metric_function import check_metric
from verdict.observer import DONE, SHORT, work_of
from verdict.results_table import audit_results
from verdict.statistics import N_MIN, t_interval

Floats = NDArray[np.float64]
GAIN = Criterion(metric=Metric.VALIDATION_NDCG, above=0.03, target=0.05)
WITHIN_S = 60.0


def metric_reasons(spec: str, where: Path, keys: CandidateKeys) -> list[str]:
    """Return why the values of an evaluator cannot be believed."""
    return check_metric(spec, where, within_s=WITHIN_S, keys=keys).failures


def table_reasons(rows: Sequence[Mapping[str, object]], folder: Path) -> list[str]:
    """Return why a table of results cannot be believed; `folder` takes the file."""
    path = folder / "results.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return [answer.sentence for answer in audit_results(path) if answer.belief == NOT_BELIEVED]


def saturation_reasons(queries: Sequence[Query]) -> list[str]:
    """Return why no gain over the V1.0 scores of these queries could be measured at all."""
    v1 = mean_ndcg([q.scores_v1() for q in queries], [q.relevance() for q in queries])
    no_image = not any(c.image for q in queries for c in q.candidates)
    found = judge_saturation(GAIN, v1, len(queries), no_image)
    return [found.reason] if found else []


def training_reasons(
    accuracies: Floats, features: Floats, trained_on: Sequence[str], measured_on: Sequence[str]
) -> list[str]:
    """Return why a trained model's gain cannot be believed.

    `accuracies` are held-out shares of right pairs per query, `features` (items, width) what it read, the
    others the texts of the queries it learned from and was measured on.
    """
    reasons, interval = [], t_interval(accuracies)
    if interval.low <= 0.5:
        shown = f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
        reasons.append(f"its pair accuracy, {shown}, is a coin's")
    if isotropy(features).noise:
        reasons.append("its image vectors are noise")
    shared = {folded(text) for text in trained_on} & {folded(text) for text in measured_on}
    if shared:
        reasons.append(f"{len(shared)} of {len(set(measured_on))} test queries are training queries")
    return reasons


def night_reasons(events: Path, took_s: float, planned_s: float) -> list[str]:
    """Return why a night's work was not done."""
    work, reasons = work_of(read_events(events)[0]), []
    done = max((event.samples for event in work.progress), default=0)
    if work.share < DONE and work.reason in ("", "done"):
        reasons.append(f"{done} of {work.total} queries were done, and no early stop was declared")
    if took_s < SHORT * planned_s:
        reasons.append(f"it took {took_s:,.0f} of {planned_s:,.0f} s")
    if done < N_MIN:
        reasons.append(f"{done} queries are too few; {N_MIN} are the least")
    return reasons
