"""Drawings of the report: well-formed, honest at the edges, right across clock changes."""

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from markupsafe import Markup

from nightshift.events import append_line
from nightshift.rundir import RunDir
from nightshift.states import Word
from tasks.report import write_report
from tasks.report_curves import _thinned
from tasks.report_figures import curve_figures
from tasks.report_model import NightReport
from tasks.report_plots import GainShares, curve, gains_waterfall
from tasks.report_pools import copies_note, pool_plot, pool_points, pool_table
from tasks.report_read import read_report
from tasks.report_svg import compact, log_ticks, nice_ticks, time_ticks
from tasks.report_timeline import timeline
from tests.tasks.report_fixture import candidates_verdict, verdict, write_night

AT = datetime(2026, 11, 23, 22, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: Markup) -> list[str]:
    """Return the texts of a drawing that is one well-formed element with a title and a description."""
    root = ET.fromstring(str(svg).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
    assert root.find(f"{SVG}title") is not None
    assert root.find(f"{SVG}desc") is not None
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_a_clock_change_at_night_is_seen_in_the_hour_labels():
    berlin = ZoneInfo("Europe/Berlin")
    back = time_ticks(datetime(2026, 10, 24, 21, tzinfo=UTC), datetime(2026, 10, 25, 6, tzinfo=UTC), berlin)
    assert [label for _, label in back] == ["23:00", "01:00", "02:00", "04:00", "06:00"]
    forth = time_ticks(datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 3, 29, 5, tzinfo=UTC), berlin)
    assert [label for _, label in forth] == ["23:00", "01:00", "04:00", "06:00"]


def test_ticks_are_few_for_a_short_night_and_for_a_century():
    for length in (timedelta(minutes=20), timedelta(hours=8), timedelta(days=36_500)):
        assert 1 <= len(time_ticks(AT, AT + length, ZoneInfo("Asia/Kathmandu"))) <= 6
    assert [compact(v) for v in (0.00025, -0.0001, 0.0, 0.05, 12_000)] == [
        "2.5e-4",
        "-1e-4",
        "0",
        "0.05",
        "12k",
    ]
    assert nice_ticks(0.71, 0.86) == [0.75, 0.8, 0.85]
    assert nice_ticks(1.0, 1.0) == [1.0]


def test_the_timeline_names_every_stage_planned_and_actual(tmp_path: Path):
    drawn = timeline(read_report(write_night(tmp_path, verdict(Word.GO))))
    assert drawn is not None
    assert texts(drawn)[-6:] == [
        *("Set-up and data", "finished", "Fusion training", "cut at deadline", "Evaluation", "finished")
    ]
    assert "Fusion training: planned 23:30 to 05:30, was 23:31 to 05:27" in drawn


def test_a_timeline_without_any_time_is_not_drawn():
    named = {
        "night": "x",
        "title": "x",
        "date": "x",
        "sentence": "",
        "next_step": "",
        "run_dir": "",
        "report": "",
    }
    assert timeline(NightReport(word=Word.STOP, **named)) is None


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.1], [0.3, 0.2, 0.1]])
def test_a_curve_of_one_or_equal_points_is_still_drawn(values: list[float]):
    points = [(AT + timedelta(hours=i), value) for i, value in enumerate(values)]
    shown = texts(curve("loss", "Loss <x>", points, "Europe/Berlin", ("V1.0", 0.15)))
    assert "V1.0 0.1500" in shown


def test_gains_are_counted_helped_unchanged_and_harmed():
    shares = GainShares.of([0.2, 0.1, 0.0, -0.3])
    assert str(shares) == "helped 2 (50%), unchanged 1 (25%), harmed 1 (25%)"
    ends = {
        ("unchanged", "unchanged"): [0.0],
        ("harmed least", "harmed most"): [-0.1, -0.2],
        ("helped most", "helped least"): [0.3, 0.1],
        ("helped most", "harmed most"): [0.01 * i for i in range(-900, 900)],
    }
    for labels, gains in ends.items():
        assert tuple(texts(gains_waterfall(gains))[-2:]) == labels


def test_thinning_keeps_first_and_last_and_leaves_short_curves_alone():
    points = tuple((AT + timedelta(seconds=i), float(i)) for i in range(10_000))
    thin = _thinned(points)
    assert (len(thin), thin[0], thin[-1]) == (600, points[0], points[-1])
    assert _thinned(points[:5]) == points[:5]


def figures_of(run: RunDir, **metrics: float) -> list[tuple[str, list[str]]]:
    """Return title and texts of the curves after the trainer reported these, and nothing else, twice."""
    events = run.stage("train").events
    events.unlink()
    for hour in (1, 2):
        at = (AT + timedelta(hours=hour)).isoformat()
        append_line(events, {"kind": "metrics", "at": at, "step": hour, "values": metrics})
    return [(figure.caption, texts(figure.svg)) for figure in curve_figures(read_report(run))]


def test_validation_is_drawn_against_the_judged_v1_else_the_trainers_own(tmp_path: Path):
    judged = verdict(Word.GO)
    metrics = {"loss": 0.05, "val_ndcg_at_10": 0.9, "val_ndcg_at_10_v1": 0.61, "val_gain": 0.29}
    (loss, _), (title, shown) = figures_of(write_night(tmp_path / "judged", judged), **metrics)
    assert (loss, title) == ("Training loss", "Validation nDCG@10")
    assert "V1.0 0.7980" in shown
    unjudged = write_night(tmp_path / "unjudged", judged.model_copy(update={"scores": {}}))
    assert "V1.0 0.6100" in figures_of(unjudged, **metrics)[1][1]


def test_other_validation_metrics_are_drawn_too_whatever_their_name(tmp_path: Path):
    run = write_night(tmp_path, verdict(Word.GO))
    recall = {"val_recall_at_10": 0.3, "val_recall_at_100": 0.9, "val_recall_at_100_bm25": 0.7}
    ((title, shown),) = figures_of(run, **recall)
    assert title == "Validation recall@100"
    assert "text search 0.7000" in shown
    hostile = "val_<img src=x>"
    assert [title for title, _ in figures_of(run, **{hostile: 0.5, "seconds": 3.0})] == ["val <img src=x>"]
    write_report(run)
    assert "<img" not in run.report_html.read_text()
    assert "no trainer reported <code>loss</code>" in run.report_html.read_text()


def test_pools_have_a_line_per_index_and_a_skipped_point_is_never_shown_as_zero():
    rows = candidates_verdict().pools
    points = pool_points(rows, ("p95_ms",))
    assert {point.index for point in points} == {"Flat", "IVF,SQ8", "HNSW"}
    assert max(point.size for point in points) == 100_000
    shown = pool_plot("p", "P95", points, " ms")
    assert {"10k", "100k", "Flat", "HNSW"} <= set(texts(shown))
    assert shown.count("hollow") == 3
    assert pool_table(rows)[-1] == {"size": 1_000_000, "index": "HNSW", "note": "not measured: too slow"}
    assert copies_note(rows).endswith("(90% at 100k).")


def test_odd_pool_rows_are_left_out():
    assert (
        pool_points([{"size": None, "p95_ms": 1}, {"p95_ms": 2}, {"size": 10, "p95_ms": True}], ("p95_ms",))
        == []
    )
    assert log_ticks(0.05, 30.0) == [0.1, 1.0, 10.0]
    assert log_ticks(0.15, 0.9) == [0.2, 0.5]
