"""The morning report: `report.json`, `report.md` and `report.html` from the run directory alone.

`python -m tasks.report RUN_DIR`
"""

import sys
from pathlib import Path

from nightshift.checkpoint import write_atomically
from nightshift.rundir import RunDir
from nightshift.states import Word
from tasks.report_model import NightReport
from tasks.report_page import render
from tasks.report_read import read_report


def write_report(run: RunDir) -> NightReport:
    """Return the report, after its three files are whole on disk; the page is written last."""
    try:
        report = read_report(run)
        markdown, html = _rendered(report)
    except Exception as error:  # noqa: BLE001  a broken run must still get its page at 07:00
        report = _unreadable(run, error)
        markdown, html = _rendered(report)
    write_atomically(run.report_json, report.model_dump_json(indent=1))
    write_atomically(run.report_markdown, markdown)
    write_atomically(run.report_html, html)
    return report


def _rendered(report: NightReport) -> tuple[str, str]:
    return render(report, "report.md.j2"), render(report, "report.html.j2")


def _unreadable(run: RunDir, error: Exception) -> NightReport:
    """Return the report of a folder that nothing can be read from: PAUSE_AND_FIX with the reason."""
    return NightReport(
        night=run.path.name,
        title=run.path.name,
        date=run.path.parent.name,
        word=Word.PAUSE_AND_FIX,
        sentence=f"The run folder cannot be read: {type(error).__name__}: {error}",
        next_step="Look at the files of the run folder (10 min); `nightshift report RUN` writes this again.",
        run_dir=str(run.path),
        report=str(run.report_html),
    )


def main(arguments: list[str]) -> int:
    """Return the exit code: 0 after the report is written, 2 where there is no such folder."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("report: give one run folder, like runs/2026-11-24/fusion", file=sys.stderr)
        return 2
    report = write_report(RunDir(Path(arguments[0]).resolve()))
    print(f"{report.word}: {report.sentence}\n{report.report}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
