"""Fetching last night's bundle from wherever it was published, verified to the last byte before it has its name."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec

from models.data_sync import fetch_file, without_login
from nightshift.checkpoint import sha256_of
from nightshift.states import NightError
from tasks.bundle import LATEST, LISTING, file_system, reaching, safe_place
from tasks.handoff import Handoff
from verdict.ledger import read_ledger


@dataclass(frozen=True)
class Fetched:
    """A bundle that lies here now."""

    folder: Path
    night: str
    date: str
    word: str
    sentence: str
    files: int


def fetch(where: str, night: str, target: Path) -> Fetched:
    """Return the newest bundle of this night, now in a folder of its own in `target`; what is here already stays.

    A fetch that was cut goes on where it was. Raises NightError where there is none, it cannot be reached, or a file
    is not as published.
    """
    what = f"night {night!r} cannot be fetched from there"
    system, root = file_system(where, what)
    with reaching(where, what):
        return _fetched(system, f"{root.rstrip('/')}/{night}", without_login(where), night, target)


def _fetched(system: fsspec.AbstractFileSystem, base: str, where: str, night: str, target: Path) -> Fetched:
    pointer = _json(system, f"{base}/{LATEST}", f"{where}: no night {night!r} was published there")
    name = safe_place(str(pointer.get("bundle", "")))
    text = _read(system, f"{base}/{name}/{LISTING}", f"{where}: bundle {name} has no listing")
    if hashlib.sha256(text).hexdigest() != pointer.get("sha256"):
        raise NightError(
            f"{where}: the listing of {name} is not the one that was published; publish the night again"
        )
    listing = json.loads(text)
    folder, aside = target / f"{night}-{name}", target / f".{night}-{name}.part"
    if not folder.exists():
        for place, known in listing["files"].items():
            _fetch_file(system, f"{base}/{name}/{safe_place(place)}", aside / place, known)
        (aside / LISTING).write_bytes(text)
        handoff = _proven(aside, listing)
        aside.rename(folder)
    else:
        _check_whole(folder, listing)
        handoff = _proven(folder, listing)
    return Fetched(folder, night, handoff.date, str(handoff.word), handoff.sentence, len(listing["files"]))


def _read(system: fsspec.AbstractFileSystem, path: str, missing: str) -> bytes:
    try:
        return bytes(system.cat_file(path))
    except FileNotFoundError as error:
        raise NightError(missing) from error


def _json(system: fsspec.AbstractFileSystem, path: str, missing: str) -> dict[str, object]:
    try:
        record = json.loads(_read(system, path, missing))
    except ValueError as error:
        raise NightError(
            f"{without_login(path)}: not a pointer to a night: {error}; publish it again"
        ) from error
    return record if isinstance(record, dict) else {}


def _fetch_file(
    system: fsspec.AbstractFileSystem, source: str, target: Path, known: dict[str, int | str]
) -> None:
    if target.is_file() and target.stat().st_size == known["size"] and sha256_of(target) == known["sha256"]:
        return
    try:
        fetch_file(system, source, target, str(known["sha256"]))
    except FileNotFoundError as error:
        raise NightError(
            f"{without_login(source)}: listed in the bundle, and not there; publish the night again"
        ) from error
    except ValueError as error:
        told = f"{without_login(source)}: not what the bundle's listing says; publish the night again"
        raise NightError(told) from error


def _check_whole(folder: Path, listing: dict[str, dict[str, dict[str, str]]]) -> None:
    for place, known in listing["files"].items():
        path = folder / place
        if not path.is_file() or sha256_of(path) != known["sha256"]:
            raise NightError(f"{path}: was changed since it was fetched; move {folder} away and fetch again")


def _proven(folder: Path, listing: dict[str, Any]) -> Handoff:
    """Return the hand-over of a bundle.

    Raises NightError where the ledger in it is broken or knows nothing of this hand-over, or the hand-over nothing of
    these weights.
    """
    record = (folder / "handoff.json").read_text()
    entries = read_ledger(folder / "ledger.jsonl", str(listing["nonce"]))
    vouched = [entry.facts.get("handoff_sha256") for entry in entries if entry.kind == "handed-over"]
    if sha256_of(folder / "handoff.json") not in vouched:
        raise NightError(
            f"{folder}: the ledger in this bundle does not vouch for its hand-over; do not use it"
        )
    handoff = Handoff.model_validate_json(record)
    handed = {f"handover/{one.path}": one.sha256 for one in handoff.files}
    given = {
        place: known["sha256"] for place, known in listing["files"].items() if place.startswith("handover/")
    }
    if handed != given:
        raise NightError(f"{folder}: these files are not those of the hand-over; do not use them")
    return handoff
