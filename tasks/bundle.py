"""What a night gives away: hand-over, word, proofs and a model card, listed with sizes and hashes."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path, PurePosixPath

import fsspec

from models.data_images import leaves_folder
from models.data_sync import library_of, storage_errors, without_login
from nightshift.checkpoint import sha256_of, write_atomically
from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.handoff import Handoff, read_handoff
from verdict.finding import read_verdict
from verdict.ledger import read_ledger
from verdict.seal import read_seal

LISTING, CARD, LATEST = "bundle.json", "README.md", "latest.json"
PROOFS = (
    "seal.json",
    "handoff.json",
    "judge/verdict.json",
    "report.html",
    "report.md",
    "report.json",
)


@dataclass(frozen=True)
class Bundle:
    """The files of one night, by their place in the bundle."""

    name: str
    """Date, the nonce's beginning, the listing's: no two nights share it, and a changed bundle is another one."""
    night: str
    files: dict[str, Path]
    listing: str
    """`bundle.json`: place -> size and sha256, and what the night says of itself."""
    pointer: dict[str, str | bool]
    """`latest.json`: which bundle, its listing's hash, and when the night was, for whoever would replace it."""


def make_bundle(run: RunDir) -> Bundle:
    """Return the bundle of a night that was handed over; its card is written into the run.

    Raises NightError where nothing was handed over, or a file of it has changed since.
    """
    handoff = read_handoff(run)
    if handoff is None:
        raise NightError(f"{run.path}: nothing was handed over, so there is nothing to publish")
    card = run.path / "model-card.md"
    card.write_text(model_card(run, handoff))
    files = {name: run.path / name for name in PROOFS if (run.path / name).is_file()}
    files |= {f"handover/{one.path}": run.handover / one.path for one in handoff.files}
    files |= {"ledger.jsonl": ledger_to_hand_over(run), CARD: card}
    listed = {
        place: {"size": path.stat().st_size, "sha256": sha256_of(path)}
        for place, path in sorted(files.items())
    }
    changed = [one.path for one in handoff.files if listed[f"handover/{one.path}"]["sha256"] != one.sha256]
    if changed:
        raise NightError(f"{run.handover / changed[0]}: not what was handed over; it must not be published")
    listing = {
        "night": handoff.night,
        "date": handoff.date,
        "nonce": handoff.nonce,
        "word": str(handoff.word),
        "sentence": handoff.sentence,
        "files": listed,
    }
    text = json.dumps(listing, indent=1)
    name = f"{handoff.date}-{handoff.nonce[:8]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    pointer: dict[str, str | bool] = {
        "bundle": name,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "date": handoff.date,
        "handed_over_at": handoff.handed_over_at.astimezone(UTC).isoformat(),
        "rehearsed": read_seal(run).speed != 1,
    }
    return Bundle(name, handoff.night, files, text, pointer)


def ledger_to_hand_over(run: RunDir) -> Path:
    """Return a copy of the ledger up to the hand-over: what happened since would make another bundle of every try."""
    lines = run.ledger.read_bytes().splitlines(keepends=True)
    entries = read_ledger(run.ledger, read_seal(run).nonce)
    last = max((n for n, entry in enumerate(entries, 1) if entry.kind == "handed-over"), default=len(entries))
    copy = run.path / "ledger-to-hand-over.jsonl"
    write_atomically(copy, b"".join(lines[:last]).decode())
    return copy


def model_card(run: RunDir, handoff: Handoff) -> str:
    """Return what somebody who finds these weights must know, as Markdown."""
    seal, verdict = read_seal(run), read_verdict(run)
    rows = [
        f"| {finding.name} | {finding.asked} | {finding.state} | {finding.reason.replace('|', '/')} |"
        for finding in verdict.criteria
    ]
    usable = "may be used" if handoff.usable else "**must not be used**"
    return "\n".join(
        [
            f"# {seal.night.title}: {handoff.word}",
            "",
            handoff.sentence,
            "",
            f"Trained in the night of {handoff.date} on {seal.data.name}; these weights {usable}.",
            "",
            "| criterion | asked | state | why |",
            "|---|---|---|---|",
            *rows,
            "",
            f"Encoders: {', '.join(f'{name}: {what}' for name, what in verdict.encoders.items()) or 'not known'}.",
            "",
            "`handover/checkpoint/` holds the weights (safetensors) with their state and manifest;",
            "`handover/serving/`, where it is there, the path to take away (`models.serving.Scorer.load`).",
            "`report.html` is the night's report,",
            "`seal.json` and `ledger.jsonl` prove what was promised and what happened; `bundle.json` has every hash.",
            "",
        ]
    )


@contextmanager
def reaching(where: str, what: str) -> Iterator[None]:
    """Let a file system's errors be told as NightError: where, what could not be done, why, and what to do."""
    try:
        yield
    except storage_errors(NotImplementedError) as error:
        why = without_login(str(error)) or type(error).__name__
        mend = (
            library_of(where)
            if isinstance(error, ImportError)
            else "mend that and try again; what arrived stays"
        )
        raise NightError(f"{without_login(where)}: {what}: {why}; {mend}") from error


def file_system(where: str, what: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the file system of this address and the path in it.

    Raises NightError where there is none, its library is missing, or it does not answer.
    """
    try:
        with reaching(where, what):
            system, root = fsspec.core.url_to_fs(where)
            return system, str(root)
    except (ValueError, TypeError) as error:
        why = without_login(str(error))
        mend = "give a folder or an address that fsspec can open (s3://, gs://, ...)"
        raise NightError(f"{without_login(where)}: {what}: {why}; {mend}") from error


def safe_place(place: str) -> str:
    """Return this relative path.

    Raises NightError where it would leave its folder.
    """
    parts = PurePosixPath(place).parts
    if leaves_folder(place) or not parts or ":" in parts[0]:
        raise NightError(f"{place!r} would lie outside of its folder; this bundle is not one of Nightshift's")
    return place
