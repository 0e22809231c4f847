"""Publishing a night (`python -m tasks.publish RUN_DIR`): files first, the pointer last, in a child of the nightwatch.

Whoever reads `latest.json` finds a whole bundle or the one before, never half of one; it never moves back to an older
night.
"""

import hashlib
import json
import sys
from pathlib import Path

import fsspec

from models.data_sync import without_login
from nightshift.checkpoint import write_atomically
from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.bundle import LATEST, LISTING, Bundle, file_system, make_bundle, reaching
from verdict.seal import read_seal


def publish(run: RunDir, where: str) -> str:
    """Return where the bundle now lies; what an earlier try has sent whole is not sent again.

    `latest.json` goes on naming a newer night that is there. Raises NightError where nothing was handed over, or it
    cannot be sent.
    """
    bundle = make_bundle(run)
    what = "the night cannot be published there"
    system, root = file_system(where, what)
    with reaching(where, what):
        return without_login(_send(bundle, system, root.rstrip("/")))


def _send(bundle: Bundle, system: fsspec.AbstractFileSystem, root: str) -> str:
    folder, latest = f"{root}/{bundle.night}/{bundle.name}", f"{root}/{bundle.night}/{LATEST}"
    listed = json.loads(bundle.listing)["files"]
    for place, path in bundle.files.items():
        target = f"{folder}/{place}"
        if not _there(system, target, listed[place]):
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            _put(system, target, path)
    _put(system, f"{folder}/{LISTING}", bundle.listing.encode())
    if not _is_newer(_pointer(system, latest), bundle.pointer):
        _put(system, latest, json.dumps(bundle.pointer).encode())
    return str(system.unstrip_protocol(folder))


def _pointer(system: fsspec.AbstractFileSystem, path: str) -> dict[str, str | bool]:
    try:
        record = json.loads(system.cat_file(path))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _is_newer(there: dict[str, str | bool], ours: dict[str, str | bool]) -> bool:
    """Return whether the pointer that is there names a newer night than ours.

    A rehearsal never holds a real night back, and its hour says nothing: on the same date the last one sent stays.
    """
    if there.get("rehearsed") and not ours["rehearsed"]:
        return False
    date = str(there.get("date") or str(there.get("bundle", ""))[:10])  # pointers had no date at first
    if date != ours["date"] or ours["rehearsed"]:
        return date > str(ours["date"])
    return str(there.get("handed_over_at", "")) > str(ours["handed_over_at"])


def _there(system: fsspec.AbstractFileSystem, target: str, known: dict[str, int | str]) -> bool:
    if not system.exists(target) or system.info(target)["size"] != known["size"]:
        return False
    with system.open(target, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == known["sha256"]


def _put(system: fsspec.AbstractFileSystem, target: str, content: Path | bytes) -> None:
    """Write aside and move: on a disk that is a rename, object stores put whole objects anyway."""
    aside = f"{target}.part"
    if isinstance(content, Path):
        system.put_file(str(content), aside)
    else:
        system.pipe_file(aside, content)
    system.mv(aside, target)


if __name__ == "__main__":
    try:
        chosen = RunDir(Path(sys.argv[1]))
        asked = read_seal(chosen).plan.publish
        if asked:
            write_atomically(chosen.published, publish(chosen, asked))
    except (NightError, OSError, ValueError) as error:
        sys.exit(f"publish: {type(error).__name__}: {error}")
