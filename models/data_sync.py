"""A data set from somewhere else, brought here: any folder that fsspec can read, or a git repository.

Incremental and resumable: a file is fetched again only where its size or its mark (etag, time) has changed, aside and
then renamed; what was fetched is written down with its hash. Where the folder has `SHA256SUMS`, every file named in it
must be what it says.
"""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import fsspec

from models.data_images import leaves_folder
from models.dataset import DataError
from nightshift.checkpoint import sha256_of, write_atomically
from schedules.plan import LOGIN

RECORD, SUMS = ".nightshift-sync.json", "SHA256SUMS"
REMOTE = re.compile(r"^(git\+)?[a-z][a-z0-9+.-]*://", re.IGNORECASE)
MARKS = (
    "etag", "ETag", "md5Hash", "oid", "blob_id", "sha", "checksum", "mtime", "last_modified", "LastModified", "updated",
    "created",
)  # fmt: skip
"""What file systems call that which changes with a file; where one offers none, its files are fetched every time."""
Known = dict[str, dict[str, str | int]]


def is_remote(where: str) -> bool:
    """Return whether this names something to be brought here: an address, or `git+` and one."""
    return bool(REMOTE.match(where))


def is_missing(where: str | None) -> bool:
    """Return whether this names a file or folder of this machine that does not exist."""
    return where is not None and not is_remote(where) and not Path(where).exists()


def full_path(where: str | None) -> str | None:
    """Return this data by its full path, an address as it is, None as None."""
    return where if where is None or is_remote(where) else str(Path(where).resolve())


def brought_here(where: str, cache: Path) -> Path:
    """Return the local folder that now holds what this address names.

    Raises DataError where it cannot be reached, or a file is not what `SHA256SUMS` says.
    """
    if LOGIN.search(where):
        raise DataError(
            f"{without_login(where)}: a password in an address is shown and kept with the night; put it where its "
            "library looks for it (environment, credentials file), and leave it out here"
        )
    folder = cache / f"data-{hashlib.sha256(where.encode()).hexdigest()[:16]}"
    try:
        return _cloned(where, folder) if where.startswith("git+") else _synced(where, folder)
    except (OSError, ValueError, TypeError, ImportError, subprocess.CalledProcessError) as error:
        told = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
        raise DataError(f"{without_login(where)}: cannot be brought here: {told}") from error


def without_login(where: str) -> str:
    """Return the address without a password in it."""
    return re.sub(r"(?<=://)[^/@\s]*:[^/@\s]*@|(?<=http://)[^/@\s]+@|(?<=https://)[^/@\s]+@", "", where)


def _git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def _cloned(where: str, folder: Path) -> Path:
    """Return the clone of `git+ADDRESS[@REF]`, at that branch or tag or at the default branch."""
    head, _, tail = where.removeprefix("git+").rpartition("/")
    name, _, ref = tail.partition("@")
    address = f"{head}/{name}"
    if ref.startswith("-"):
        raise ValueError(f"{ref!r} is no branch or tag")
    aside = folder.with_name(f".{folder.name}.part")
    if folder.is_dir():
        _git("-C", str(folder), "fetch", "--quiet", "--depth", "1", "origin", ref or "HEAD")
        _git("-C", str(folder), "checkout", "--quiet", "--detach", "FETCH_HEAD")
        return folder
    shutil.rmtree(aside, ignore_errors=True)
    _git("clone", "--quiet", "--depth", "1", *(["--branch", ref] if ref else []), "--", address, str(aside))
    aside.rename(folder)
    return folder


def _synced(where: str, folder: Path) -> Path:
    system, root = fsspec.core.url_to_fs(where)
    found = system.find(root, detail=True)
    if not found:
        raise FileNotFoundError("there is no file")
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / RECORD
    known: Known = json.loads(record.read_text()) if record.is_file() else {}
    places = {_place(path, root): (path, info) for path, info in found.items()}
    for place, (path, info) in sorted(places.items()):
        info = info if info.get("size") is not None else system.info(path)  # http lists names alone
        size = info.get("size")
        mark: dict[str, str | int] = {"size": -1 if size is None else int(size), "mark": _mark(info)}
        target = folder / place
        if (
            not target.is_file()
            or not mark["mark"]
            or {key: known.get(place, {}).get(key) for key in mark} != mark
        ):
            fetch_file(system, path, target)
            known[place] = {**mark, "sha256": sha256_of(target)}
            write_atomically(record, json.dumps(known))
    for gone in set(known) - set(places):
        (folder / gone).unlink(missing_ok=True)
        del known[gone]
    write_atomically(record, json.dumps(known))
    _verify(folder, known)
    return folder


def _place(path: str, root: str) -> str:
    place = path.removeprefix(root).lstrip("/") or PurePosixPath(path).name
    if leaves_folder(place):
        raise ValueError(f"{place!r} would lie outside of its folder")
    return place


def _mark(info: dict[str, object]) -> str:
    return next((str(info[name]) for name in MARKS if info.get(name)), "")


def fetch_file(system: fsspec.AbstractFileSystem, path: str, target: Path, sha256: str = "") -> None:
    """Copy a file here, aside and then renamed.

    Raises ValueError where it is not the one that `sha256` names, where that is given; nothing is left then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    with system.open(path, "rb") as source, part.open("wb") as file:
        shutil.copyfileobj(source, file)
    if sha256 and sha256_of(part) != sha256:
        part.unlink()
        raise ValueError(f"{path} is another file")
    part.replace(target)


def _verify(folder: Path, known: Known) -> None:
    sums = folder / SUMS
    for line in sums.read_text().splitlines() if sums.is_file() else []:
        digest, _, place = line.partition(" ")
        place = place.strip().removeprefix("*")
        if place and known.get(place, {}).get("sha256") != digest.lower():
            if place in known:
                (folder / place).unlink(missing_ok=True)
            raise ValueError(f"{place} is not what {SUMS} says")
