"""What every benchmark prints last, and keeps: the figures, the date, the machine, the packages."""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nightshift.instant import boottime_s

RESULTS = Path(__file__).parent / "results"
Row = Mapping[str, object]


def seconds(work: Callable[[], object]) -> float:
    """Return the real seconds that one call takes."""
    begin = boottime_s()
    work()
    return boottime_s() - begin


def package(name: str) -> str:
    """Return "name version", or "name (absent)"."""
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} (absent)"


def machine() -> str:
    """Return processor, cores, memory and GPU in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {os.cpu_count()} cores, {memory_gb:.0f} GiB; {_gpu()}"


def _gpu() -> str:
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return "no GPU"
    return ", ".join(told.split("\n")).strip(", ")


def table(rows: Sequence[Row]) -> str:
    """Return rows of equal keys as aligned text."""
    heads = list(rows[0])
    cells = [heads, *[[_cell(row[head]) for head in heads] for row in rows]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def keep(name: str, question: str, rows: Sequence[Row], answer: str, packages: Sequence[str] = ()) -> None:
    """Print question, rows and answer, and write them to `results/NAME.json` and `.md`."""
    shown = table(rows)
    print(f"{question}\n\n{shown}\n\n{answer}")
    document = {
        "question": question,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "packages": [package(one) for one in packages],
        "rows": [dict(row) for row in rows],
        "answer": answer,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    facts = f"{document['date']}; {document['machine']}; {', '.join(document['packages'])}".rstrip("; ")
    (RESULTS / f"{name}.md").write_text(
        f"# {question}\n\n{facts}\n\n```\n{shown}\n```\n\n{answer}\n\n"
        f"`python -m benchmarks.{name}` writes this page.\n"
    )
