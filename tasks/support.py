"""`nightshift support`: one archive for a bug report, without data, weights or secrets.

What goes in is named here one by one; everything else of a run stays where it is. Texts are cleaned of what looks like
a secret: values of variables whose name says so, keys of known shapes, logins inside addresses, the home folder's name.
"""

import io
import json
import os
import platform
import re
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path

from nightshift import __version__
from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.doctor import examine

NAMED = (
    "seal.json", "status.json", "ledger.jsonl", "report.json", "report.md", "handoff.json", "nightwatch.log",
    "refused.txt", "gpu-lost.txt", "bedtime.json", "injected.json", "judge/verdict.json", "judge/output.log",
)  # fmt: skip
STAGE_NAMED = ("events.jsonl", "exit.json", "standing.json", "settings.json", "control.json", "output.log")
LONGEST_BYTES = 512 * 1024
"""Of a longer text only its end goes in."""
SHORTEST_SECRET = 6
SECRET_NAME = re.compile(
    r"key|token|secret|passw|credential|auth|notify|webhook|connection_url|night_study$|dsn", re.IGNORECASE
)
SECRET_SHAPES = (
    re.compile(r"\b(?:hf|sk|ghp|gho|ghs|xox[abp]|glpat|AKIA)[-_A-Za-z0-9]{12,}"),
    re.compile(r"(?i)\b((?:api[_-]?key|token|secret|password|authorization)\"?\s*[:=]\s*\"?)[^\s\"',}]{6,}"),
    re.compile(r"(?<=://)[^/\s:@\"]*:[^/\s@\"]+(?=@)"),
)
GONE = "[removed]"


def cleaned(text: str, environment: Mapping[str, str]) -> str:
    """Return the text without what looks like a secret, and without the name of the person's home folder."""
    told = [value for name, value in environment.items() if SECRET_NAME.search(name)]
    pieces = [
        piece for value in told for piece in (value, *re.split(r"[\s,]+", value))
    ]  # several addresses in one
    values = {piece for piece in pieces if len(piece) >= SHORTEST_SECRET}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, GONE)
    first, named, login = SECRET_SHAPES
    text = login.sub(GONE, named.sub(rf"\1{GONE}", first.sub(GONE, text)))
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def _texts(run: RunDir) -> Iterator[tuple[str, Path]]:
    for name in NAMED:
        yield name, run.path / name
    for folder in sorted((run.path / "stages").glob("*")):
        for name in STAGE_NAMED:
            yield f"stages/{folder.name}/{name}", folder / name
        for path in sorted(folder.glob("checkpoints/step-*/manifest.json")):
            yield str(path.relative_to(run.path)), path


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LONGEST_BYTES))
        text = file.read().decode(errors="replace")
    return (
        text if size <= LONGEST_BYTES else f"[the first {size - LONGEST_BYTES} bytes were left out]\n{text}"
    )


def _machine(run: RunDir) -> str:
    packages = sorted(f"{d.metadata['Name']}=={d.version}" for d in distributions())
    record = {
        "nightshift": __version__,
        "python": sys.version,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "checks": [asdict(check) for check in examine(run.path.parent.parent)],
        "packages": packages,
    }
    return json.dumps(record, indent=1)


def write_bundle(run: RunDir, target: Path, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the names of what the archive at `target` (.tar.gz) now holds.

    Raises NightError where there is no run, or the archive is there already.
    """
    if not run.seal.is_file():
        raise NightError(f"{run.path}: holds no night; name a run folder with --run")
    if target.exists():
        raise NightError(f"{target}: is there already; remove it, or name another with --to")
    names = []
    with tarfile.open(target, "x:gz") as archive:
        texts = [(name, _end_of(path)) for name, path in _texts(run) if path.is_file()]
        for name, text in [*texts, ("machine.json", _machine(run))]:
            data = cleaned(text, environment).encode()
            info = tarfile.TarInfo(f"nightshift-support/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
            names.append(name)
    return names
