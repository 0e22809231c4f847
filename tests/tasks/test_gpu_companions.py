"""What stands beside utilisation: gaps, percentiles, energy, and the cause of an idle GPU."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tasks.gpu_companions import companions, energy_kwh, gaps_between, idle_gaps, records
from tasks.gpu_diagnosis import GpuSpan, diagnose
from tasks.night_seconds import Spent

START = datetime(2026, 11, 25, 23, tzinfo=UTC)


def second(number):
    return START + timedelta(seconds=number)


def write(path, rows):
    lines = [json.dumps({"at": second(at).isoformat(), **row}) for at, row in rows]
    path.write_text("\n".join([*lines, "broken", "[]"]) + "\n")
    return path


def busy(values):
    return [(at, {"utilisation_pct": value}) for at, value in enumerate(values)]


def test_idle_stretches_are_named_by_what_the_time_went_into(tmp_path):
    path = write(tmp_path / "gpu.jsonl", busy([90] * 10 + [0] * 9 + [95] * 5 + [2] * 4 + [90] * 3 + [0] * 8))
    assert [seconds for _, seconds in idle_gaps(list(records(path)), 1.0)] == [8, 7]
    pieces = [(second(0), second(30), Spent.LOAD), (second(30), second(60), Spent.EVALUATE)]
    facts = companions(
        path, second(0), second(60), gaps_between(path, second(0), second(60), 1.0), pieces, idle=False
    )
    assert facts["idle_gaps"] == "load: 1, 8 s; evaluate: 1, 7 s"
    assert (facts["p5_pct"], facts["p50_pct"], facts["p95_pct"]) == (0, 2, 95)
    assert "likely_cause" not in facts


def test_memory_heat_and_processors_are_told(tmp_path):
    gib = 2**30
    rows = [
        (0, {"memory_used_bytes": 4 * gib, "memory_total_bytes": 16 * gib, "throttled": [], "sm_pct": 40.0}),
        (
            1,
            {
                "memory_used_bytes": 15 * gib,
                "memory_total_bytes": 16 * gib,
                "throttled": ["heat"],
                "sm_pct": 60.0,
            },
        ),
    ]
    facts = companions(write(tmp_path / "gpu.jsonl", rows), second(0), second(9), [], [], idle=False)
    assert facts == {"processors_active_pct": 50.0, "least_free_memory_gib": 1.0, "throttled_share": 0.5}


def test_energy_is_the_counters_way_with_a_restart_of_it_in_between(tmp_path):
    joules = [1000.0, 3.601e6, 0.0, 3.6e6]
    path = write(tmp_path / "gpu.jsonl", [(at, {"energy_j": value}) for at, value in enumerate(joules)])
    assert energy_kwh(path) == pytest.approx(2.0)
    assert energy_kwh(tmp_path / "none.jsonl") is None


@pytest.mark.parametrize(
    ("span", "spent", "name"),
    [
        (GpuSpan(100, {"heat": 10}), {Spent.TRAIN: 60.0}, "Throttled"),
        (GpuSpan(100, {"heat": 2}, 0.8), {Spent.TRAIN: 60.0, Spent.LOAD: 30.0}, "Data loading"),
        (GpuSpan(100, {}, 0.8), {Spent.TRAIN: 60.0, Spent.EVALUATE: 30.0}, "Evaluation too often"),
        (GpuSpan(100, {}, 0.1), {Spent.TRAIN: 60.0}, "Small batch"),
        (GpuSpan(100, {}, 0.8, processes=2), {Spent.TRAIN: 60.0}, "Another process"),
        (GpuSpan(100, {}, 0.8, processes=1), {Spent.TRAIN: 60.0}, "CPU-bound"),
    ],
)
def test_the_likely_cause_is_named_with_its_evidence(span, spent, name):
    cause = diagnose(span, spent)
    assert cause.name == name
    assert any(character.isdigit() for character in cause.evidence)
