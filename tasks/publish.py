"""Publishing a night (`python -m tasks.publish RUN_DIR`): files first, the pointer last, in a child of the nightwatch.

Whoever reads `latest.json` finds a whole bundle or the one before, never half of one.
"""

import hashlib
import json
import sys
from pathlib import Path

import fsspec

from nightshift.checkpoint import sha256_of, write_atomically
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
    for place, path in bundle.files.items():
        target = f"{folder}/{place}"
        if not _there(system, target, path):
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            _put(system, target, path.read_bytes())
    _put(system, f"{folder}/{LISTING}", bundle.listing.encode())
    pointer = {"bundle": bundle.name, "sha256": _sha256(bundle.listing)}
    _put(system, f"{root.rstrip('/')}/{bundle.night}/{LATEST}", json.dumps(pointer).encode())
    return str(system.unstrip_protocol(folder))


def _there(system: fsspec.AbstractFileSystem, target: str, path: Path) -> bool:
    if not system.exists(target) or system.info(target)["size"] != path.stat().st_size:
        return False
    with system.open(target, "rb") as file:
        return _sha256(file.read()) == sha256_of(path)


def _sha256(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def _put(system: fsspec.AbstractFileSystem, target: str, content: bytes) -> None:
    """Write aside and move: on a disk that is a rename, object stores put whole objects anyway."""
    aside = f"{target}.part"
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
