"""Checkpoints that are whole or not there: written aside, synced, renamed, hashed; never pickled."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

MANIFEST = "manifest.json"
STATE = "state.json"
PROBE_BYTES = 1 << 20
STEP_FOLDER = re.compile(r"step-(\d{6,})")


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str, sync: bool = True) -> None:
    """Replace a small file so that a reader sees the old text or the new one, never a part.

    Without `sync` a power cut may leave neither: for what only shows, and is written again in a second.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    aside.write_text(text)
    if sync:
        _sync(aside)
    os.replace(aside, path)


def write_checkpoint(
    checkpoints: Path, step: int, write: Callable[[Path], None], state: dict[str, object], nonce: str
) -> Path:
    """Return the folder `step-NNNNNN` that now holds what `write` put there, `state.json` and a manifest.

    `write` receives the folder being filled. An existing checkpoint of the same step is replaced.
    Raises OSError where it cannot be written; nothing of it is left then.
    """
    aside = checkpoints / f".step-{step:06d}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        _fill(aside, step, write, state, nonce)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)  # a full disk must not stay full for half a checkpoint
        raise
    final = checkpoints / f"step-{step:06d}"
    if final.exists():
        remove_checkpoint(final)
    aside.rename(final)
    _sync(checkpoints)
    return final


def _fill(
    aside: Path, step: int, write: Callable[[Path], None], state: dict[str, object], nonce: str
) -> None:
    try:
        write(aside)
    except Exception as error:
        _say_if_disk(aside, error)
        raise
    (aside / STATE).write_text(json.dumps({**state, "step": step, "nonce": nonce}, allow_nan=False))
    files = sorted(path for path in aside.rglob("*") if path.is_file())
    manifest = {
        "step": step,
        "nonce": nonce,
        "files": {
            str(path.relative_to(aside)): {"size": path.stat().st_size, "sha256": sha256_of(path)}
            for path in files
        },
    }
    (aside / MANIFEST).write_text(json.dumps(manifest, indent=1))
    for path in [*files, aside / MANIFEST, aside]:
        _sync(path)


def _say_if_disk(folder: Path, error: Exception) -> None:
    """Raise OSError where the disk is what failed: libraries name a full disk by errors of their own."""
    probe = folder / ".probe"
    try:
        probe.write_bytes(bytes(PROBE_BYTES))
        _sync(probe)
    except OSError as full:
        raise OSError(full.errno, f"{full.strerror}; the writer said: {error}") from error
    finally:
        probe.unlink(missing_ok=True)


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint so that no moment leaves half of it under its name."""
    gone = path.with_name(f".{path.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def damage(checkpoint: Path) -> str | None:
    """Return why this checkpoint must not be loaded, or None where it is whole."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text())
        files = manifest["files"]
        for name, expected in files.items():
            path = checkpoint / name
            if path.stat().st_size != expected["size"] or sha256_of(path) != expected["sha256"]:
                return f"{name} is not what the manifest says"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"no readable manifest or file: {error}"
    return None if STATE in files else f"{STATE} is missing"


def whole_checkpoints(checkpoints: Path) -> list[Path]:
    """Return the whole checkpoints of this folder, oldest first."""
    if not checkpoints.is_dir():
        return []
    named = [path for path in checkpoints.iterdir() if STEP_FOLDER.fullmatch(path.name)]
    named.sort(key=step_of)
    return [path for path in named if damage(path) is None]


def step_of(checkpoint: Path) -> int:
    """Return the step that a checkpoint's folder is named by."""
    return int(checkpoint.name.split("-")[1])


def newest_whole(checkpoints: Path, below: int | None = None) -> Path | None:
    """Return the newest whole checkpoint (of a step below `below`), passing over torn ones, or None."""
    if not checkpoints.is_dir():
        return None
    named = [path for path in checkpoints.iterdir() if STEP_FOLDER.fullmatch(path.name)]
    for path in sorted(named, key=step_of, reverse=True):
        if (below is None or step_of(path) < below) and damage(path) is None:
            return path
    return None


def read_state(checkpoint: Path) -> dict[str, object]:
    """Return the `state.json` of a checkpoint."""
    state: dict[str, object] = json.loads((checkpoint / STATE).read_text())
    return state


def manifest_sha256(checkpoint: Path) -> str:
    """Return the hash that names a whole checkpoint: that of its manifest, which holds all the others."""
    return sha256_of(checkpoint / MANIFEST)
