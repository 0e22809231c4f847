"""The morning report from a run folder: its words, its document, its pages."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightshift.rundir import RunDir
from nightshift.states import Word
from tasks.report import main, write_report
from tasks.report_model import NightReport, nights_document
from tasks.report_page import markdown_text
from tasks.report_words import night_of
from tests.tasks.report_fixture import SENTENCES, candidates_verdict, verdict, write_night

DOCUMENT_KEYS = {
    *("night", "title", "date", "word", "sentence", "next_step", "handed_over_at", "deadline", "on_time"),
    *("run_dir", "report", "decoy", "stages", "criteria", "scores", "modalities", "pools", "encoders"),
    *("findings", "warnings", "events", "curves", "per_query_gains", "handed_over", "speed", "timezone"),
    *("gpu", "gpu_use", "data", "loss_facts", "latency", "ledger_head", "anchored", "window_start"),
    *("ablation", "chosen", "evening", "evening_lines", "seconds"),
}


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def row_of(markdown: str, name: str) -> str:
    return next(line for line in markdown.splitlines() if line.startswith(f"| {name}"))


@pytest.mark.parametrize("word", list(Word))
def test_each_word_stands_in_all_three_files_with_sentence_and_next_step(tmp_path: Path, word: Word):
    run = write_night(tmp_path, verdict(word))
    report = write_report(run)
    sentence, next_step = SENTENCES[word]
    assert (report.word, report.sentence, report.next_step) == (word, sentence, next_step)
    assert run.report_markdown.read_text().startswith(f"# {word}\n")
    assert json.loads(run.report_json.read_text())["word"] == word
    html = run.report_html.read_text()
    assert f'data-word="{word}"' in html
    assert html.count('<span class="name">') == 5


def test_the_document_has_exactly_the_stable_keys_and_reads_back(tmp_path: Path):
    report = write_report(write_night(tmp_path, verdict(Word.GO)))
    (entry,) = nights_document([report])["nights"]
    assert entry == json.loads(Path(report.report).with_suffix(".json").read_text())
    assert set(entry) == DOCUMENT_KEYS
    assert NightReport.model_validate(entry) == report
    assert set(entry["criteria"][0]) == {
        *("name", "required", "state", "value", "low", "high", "n", "reason", "asked")
    }
    assert entry["window_start"] == "2026-11-23T22:00:00Z"
    assert entry["stages"][1]["restarts"] == 1
    assert len(entry["curves"]["loss"]) == 120
    assert set(entry["curves"]) == {"loss", "val_ndcg_at_10", "val_ndcg_at_10_v1"}
    assert entry["gpu"] == "no NVIDIA GPU: NVML Shared Library Not Found"


def test_what_people_and_files_say_is_escaped_and_nothing_is_fetched(tmp_path: Path):
    judged = verdict(Word.GO).model_copy(
        update={"warnings": ["<script>alert(1)</script> | a\nb", "`x` *y* [z](u)"]}
    )
    run = write_night(tmp_path, judged)
    write_report(run)
    html, markdown = run.report_html.read_text(), run.report_markdown.read_text()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "mm_grocery &lt;b&gt;" in html
    for outside in ("http:", "https:", "url(", "@import", " src=", "//cdn"):
        assert outside not in html, outside
    assert "<" not in markdown
    assert "- &lt;script&gt;alert(1)&lt;/script&gt; \\| a b\n" in markdown


def test_a_rehearsed_night_is_named_by_its_length():
    said = [night_of(minutes) for minutes in (20, 80, 480, 540, 660, 450)]
    assert said == [
        *("a 20-minute night", "a 1.33-hour night", "an 8-hour night", "a 9-hour night"),
        *("an 11-hour night", "a 7.5-hour night"),
    ]


@given(st.text())
def test_no_text_breaks_out_of_a_markdown_cell(text: str):
    shown = markdown_text(text)
    assert "\n" not in shown
    assert "<" not in shown
    assert shown.count("|") == shown.count("\\|")


def test_numbers_of_a_stopped_night_are_struck_out(tmp_path: Path):
    run = write_night(tmp_path, verdict(Word.STOP))
    write_report(run)
    assert "<s>+0.0521</s>" in run.report_html.read_text()
    row = row_of(run.report_markdown.read_text(), "Gain in nDCG@10")
    assert "| ~~Met~~ | ~~+0.0521~~ |" in row


def test_a_night_with_pools_only_says_what_was_not_measured(tmp_path: Path):
    run = write_night(tmp_path, candidates_verdict(), "candidates", speed=240)
    report = write_report(run)
    html = run.report_html.read_text()
    assert "<strong>Not measured:</strong> scores on test and validation; gain per query;" in html
    assert "Rehearsal: an 8-hour night compressed 240 times." in html
    assert "Rehearsal: an 8-hour night compressed 240 times." in run.report_markdown.read_text()
    unanswered = [finding.state for finding in report.criteria if finding.name == "inference_ms"]
    assert unanswered == ["NOT_MEASURED"]
    assert "1,000,000" in html


NEEDED = (
    "seal.json",
    "status.json",
    "judge/verdict.json",
    "handoff.json",
    "ledger.jsonl",
    "stages/train/exit.json",
)


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("how", ["gone", "cut"])
def test_a_missing_or_cut_file_is_named_and_never_lets_go_through(tmp_path: Path, name: str, how: str):
    run = write_night(tmp_path, verdict(Word.GO))
    path = run.path / name
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    report = write_report(run)
    assert report.word in (Word.PAUSE_AND_FIX, Word.STOP)
    told = " ".join((report.sentence, *report.findings))
    assert name in told or "never handed over" in told or "the ledger" in told
    assert run.report_html.stat().st_size > 5000


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return write_night(tmp_path_factory.mktemp("spoiled"), verdict(Word.GO))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(NEEDED),
    content=st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(st.sampled_from(["night", "word", "stages"]), inner),
            ),
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_rubbish_in_any_file_still_gives_a_page_and_never_a_good_word(
    spoiled: RunDir, name: str, content: bytes
):
    path = spoiled.path / name
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        assert write_report(spoiled).word in (Word.PAUSE_AND_FIX, Word.STOP)
    finally:
        path.write_bytes(before)


def test_a_hand_off_changed_after_the_night_is_stop(tmp_path: Path):
    run = write_night(tmp_path, verdict(Word.NO_GAIN))
    replaced(run.handoff, '"NO_GAIN"', '"GO"')
    assert write_report(run).word == Word.STOP


def test_a_verdict_made_better_afterwards_does_not_better_the_word(tmp_path: Path):
    run = write_night(tmp_path, verdict(Word.NO_GAIN))
    run.verdict.write_text(verdict(Word.GO).model_dump_json())
    report = write_report(run)
    assert report.word == Word.NO_GAIN
    assert any("altered by hand" in warning for warning in report.warnings)


def test_a_night_under_way_says_that_it_is_not_handed_over(tmp_path: Path):
    run = write_night(tmp_path, verdict(Word.GO))
    run.handoff.unlink()
    run.verdict.unlink()
    replaced(run.status, '"handed_over"', '"running"')
    report = write_report(run)
    assert report.word == Word.PAUSE_AND_FIX
    assert report.sentence.startswith("This night is not handed over yet.")
    assert report.on_time is None
    assert {finding.reason for finding in report.criteria} == {"the night was not judged"}


def test_an_empty_folder_gets_its_page_and_a_missing_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main([str(tmp_path)]) == 0
    assert "PAUSE_AND_FIX" in capsys.readouterr().out
    assert main([str(tmp_path / "nowhere")]) == 2
