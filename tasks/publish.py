"""Publishing a night (`python -m tasks.publish RUN_DIR`): files first, the pointer last, in a child of the nightwatch.

Whoever reads `latest.json` finds a whole bundle or the one before, never half of one.
"""

import hashlib
import json
import sys
from pathlib import Path

import fsspec

from nightshift.checkpoint import write_atomically
from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.bundle import LATEST, LISTING, make_bundle
from verdict.seal import read_seal


def publish(run: RunDir, where: str) -> str:
    """Return where the bundle now lies; what an earlier try has sent whole is not sent again.

    Raises NightError where nothing was handed over, OSError or the file system's own errors where it cannot be sent.
    """
    bundle = make_bundle(run)
    system, root = fsspec.core.url_to_fs(where)
    folder = f"{root.rstrip('/')}/{bundle.night}/{bundle.name}"
    listed = json.loads(bundle.listing)["files"]
    for place, path in bundle.files.items():
        target = f"{folder}/{place}"
        if not _there(system, target, listed[place]):
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            _put(system, target, path)
    _put(system, f"{folder}/{LISTING}", bundle.listing.encode())
    pointer = {"bundle": bundle.name, "sha256": hashlib.sha256(bundle.listing.encode()).hexdigest()}
    _put(system, f"{root.rstrip('/')}/{bundle.night}/{LATEST}", json.dumps(pointer).encode())
    return str(system.unstrip_protocol(folder))


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
    except (NightError, OSError, ValueError, ImportError) as error:
        sys.exit(f"publish: {type(error).__name__}: {error}")
