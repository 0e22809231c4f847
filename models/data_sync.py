"""A data set from somewhere else, brought here: any folder that fsspec can read, or a git repository.

Incremental and resumable: a file is fetched again only where its size or its mark (etag, time) has changed, aside and
then renamed, and written down with its hash. Each content has a folder of its own, `data-ADDRESS-CONTENT`, verified on
disk: what a seal names is never written again. Where it has `SHA256SUMS`, every file named there must be what it says.
"""

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
FOREIGN = (
    ("aiohttp", "ClientError"), ("azure.core.exceptions", "AzureError"), ("botocore.exceptions", "BotoCoreError"),
    ("ftplib", "Error"), ("gcsfs.retry", "HttpError"), ("google.auth.exceptions", "GoogleAuthError"),
    ("httpx", "HTTPError"), ("paramiko.ssh_exception", "SSHException"), ("botocore.exceptions", "ClientError"),
)  # fmt: skip
"""Errors of the libraries behind file systems that are no OSError."""
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
Known = dict[str, dict[str, str | int]]


class OtherContent(ValueError):
    """A file that is not what it should be."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(f"{place} {why}")
        self.place = place


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
    home = cache / f"data-{hashlib.sha256(where.encode()).hexdigest()[:16]}"
    try:
        with _alone(home.with_name(f".{home.name}.lock")):
            return _cloned(where, home) if where.startswith("git+") else _synced(where, home)
    except storage_errors(ValueError, TypeError) as error:
        mend = f"; {library_of(where)}" if isinstance(error, ImportError) else ""
        raise DataError(f"{without_login(where)}: cannot be brought here: {error}{mend}") from error


def without_login(where: str) -> str:
    """Return the address, or a text with addresses in it, without a password."""
    return re.sub(r"(?<=://)[^/@\s]*:[^/@\s]*@|(?<=http://)[^/@\s]+@|(?<=https://)[^/@\s]+@", "", where)


def storage_errors(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """Return what a file system may raise: these, and the errors of FOREIGN whose libraries this process has loaded."""
    foreign = (getattr(sys.modules[module], name) for module, name in FOREIGN if module in sys.modules)
    return OSError, ImportError, *more, *foreign


def library_of(where: str) -> str:
    """Return what to do where the library behind this address is missing."""
    extra = EXTRAS.get(where.partition("://")[0].lower())
    return f"pip install 'nightshift[{extra}]'" if extra else "install what it asks for"


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process brings this address here."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ValueError(done.stderr.strip())
    return done.stdout.strip()


def _cloned(where: str, home: Path) -> Path:
    """Return the folder of `git+ADDRESS[@REF]`: that branch or tag, or the default branch, as it is there now."""
    head, _, tail = where.removeprefix("git+").rpartition("/")
    name, _, ref = tail.partition("@")
    if ref.startswith("-"):
        raise ValueError(f"{ref!r} is no branch or tag")
    objects = ("-C", str(home.with_name(f".{home.name}")))
    _git("init", "--quiet", "--bare", objects[1])
    asked = (f"{head}/{name}", f"+{ref or 'HEAD'}:refs/nightshift/brought")
    _git(*objects, "fetch", "--quiet", "--no-tags", "--depth", "1", "--", *asked)
    commit = _git(*objects, "rev-parse", "FETCH_HEAD^{commit}")

    def fill(aside: Path) -> dict[str, str]:
        tree = f"--work-tree={aside.resolve()}"
        _git(*objects, tree, "checkout", "--quiet", "--force", "--detach", commit)
        files = [path for path in aside.rglob("*") if path.is_file() and path != aside / RECORD]
        return {str(path.relative_to(aside)): sha256_of(path) for path in files}

    return _settled(home.with_name(f"{home.name}-{commit[:16]}"), fill)


def _synced(where: str, home: Path) -> Path:
    system, root = fsspec.core.url_to_fs(where)
    newest = home.with_name(f".{home.name}")
    known = _fetched(system, root, newest)
    hashes = {place: str(one["sha256"]) for place, one in known.items()}
    content = hashlib.sha256(json.dumps(sorted(hashes.items())).encode()).hexdigest()

    def fill(aside: Path) -> dict[str, str]:
        for place in hashes:
            _link(newest / place, aside / place)
        return hashes

    try:
        return _settled(home.with_name(f"{home.name}-{content[:16]}"), fill)
    except OtherContent as error:
        if error.place in known:
            (newest / error.place).unlink(missing_ok=True)  # it is fetched again at the next try
        raise


def _fetched(system: fsspec.AbstractFileSystem, root: str, folder: Path) -> Known:
    """Return what this folder now holds: every file as it is there, only what has changed being fetched."""
    found = system.find(root, detail=True)
    if not found:
        raise FileNotFoundError("there is no file")
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / RECORD
    known: Known = json.loads(record.read_text()) if record.is_file() else {}
    places = {_place(path, root): (path, info) for path, info in found.items()}
    places.pop(RECORD, None)
    for place, (path, info) in sorted(places.items()):
        info = info if info.get("size") is not None else system.info(path)  # http lists names alone
        size = info.get("size")
        changes = next((str(info[name]) for name in MARKS if info.get(name)), "")
        mark: dict[str, str | int] = {"size": -1 if size is None else int(size), "mark": changes}
        target = folder / place
        as_known = known.get(place) == {**known.get(place, {}), **mark}
        if not (target.is_file() and changes and as_known):
            fetch_file(system, path, target)
            known[place] = {**mark, "sha256": sha256_of(target)}
            write_atomically(record, json.dumps(known))
    for gone in set(known) - set(places):
        (folder / gone).unlink(missing_ok=True)
        del known[gone]
    write_atomically(record, json.dumps(known))
    return known


def _settled(folder: Path, fill: Callable[[Path], dict[str, str]]) -> Path:
    """Return the folder of one content, verified on disk: as it lies there, or filled aside and renamed."""
    if folder.is_dir():
        known = json.loads((folder / RECORD).read_text())
        _verify(folder, known, f"was changed since it was brought here; move {folder} away and try again")
        return folder
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        known = fill(aside)
        _verify(aside, known, "was changed since it was fetched; try again")
        write_atomically(aside / RECORD, json.dumps(known))
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _link(source: Path, target: Path) -> None:
    """Give a file another name, or copy it where the disk knows no second names."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


def _place(path: str, root: str) -> str:
    place = path.removeprefix(root).lstrip("/") or PurePosixPath(path).name
    if leaves_folder(place):
        raise ValueError(f"{place!r} would lie outside of its folder")
    return place


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


def _verify(folder: Path, known: dict[str, str], changed: str) -> None:
    """Raise OtherContent where a file on disk is not what is known of it, or not what `SHA256SUMS` says."""
    for place, digest in known.items():
        if not (folder / place).is_file() or sha256_of(folder / place) != digest:
            raise OtherContent(place, changed)
    sums = folder / SUMS
    for line in sums.read_text().splitlines() if sums.is_file() else []:
        digest, _, named = line.partition(" ")
        place = str(PurePosixPath(named.strip().removeprefix("*")))
        if digest and known.get(place) != digest.lower():
            raise OtherContent(place, f"is not what {SUMS} says")
