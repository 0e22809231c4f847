"""The multimodal folder format: train.jsonl, val.jsonl, test.jsonl, and images.zip or images/."""

import hashlib
import json
from pathlib import Path

from models.data_images import unpacked
from models.data_parse import SplitReader, read_split
from models.dataset import SPLITS, Candidate, DataError, DataSource, Problem, Query
from nightshift.checkpoint import sha256_of, write_atomically


def is_folder(path: Path) -> bool:
    """Return whether this folder looks like the multimodal format."""
    return path.is_dir() and any((path / f"{split}.jsonl").exists() for split in SPLITS)


def image_root(folder: Path, cache: Path) -> Path:
    """Return the folder that `image` paths are relative to; an archive is unpacked into the cache."""
    archive = folder / "images.zip"
    if (folder / "images").is_dir() or not archive.is_file():
        return folder
    root = unpacked(archive, cache)
    if (root / "images").is_dir():
        return root
    # The archive holds the pictures without their folder: give them one.
    named = cache / f"{root.name}-named"
    named.mkdir(exist_ok=True)
    link = named / "images"
    if not link.exists():
        link.symlink_to(root, target_is_directory=True)
    return root


def read_folder(folder: Path, cache: Path) -> tuple[DataSource | None, list[Problem]]:
    """Return the data set and every problem found; None where one of them is fatal."""
    missing = [split for split in SPLITS if not (folder / f"{split}.jsonl").is_file()]
    if missing:
        mend = "give train.jsonl, val.jsonl and test.jsonl"
        return None, [
            Problem(str(folder), f"no {name}.jsonl", mend, "missing_split", True) for name in missing
        ]
    try:
        root = image_root(folder, cache)
    except DataError as error:
        return None, [Problem(str(folder), str(error), "mend the archive", "broken_zip", True)]
    readers = {split: read_split(folder / f"{split}.jsonl", root, True) for split in SPLITS}
    problems = [problem for reader in readers.values() for problem in reader.problems]
    problems += shared_items(readers)
    if any(problem.fatal for problem in problems):
        return None, problems
    paths = {split: folder / f"{split}.jsonl" for split in SPLITS}
    set_aside = tuple(problem for problem in problems if problem.kind != "item_overlap")
    if set_aside:
        paths = write_clean(readers, paths, cache, root)
    pictured = any(c.image for reader in readers.values() for q in reader.queries for c in q.candidates)
    source = DataSource("multimodal", folder.name, folder, paths, root if pictured else None, {}, set_aside)
    return source, problems


def shared_items(readers: dict[str, SplitReader]) -> list[Problem]:
    """Return a warning per pair of splits that share items."""
    ids = {s: {c.id for q in r.queries for c in q.candidates} for s, r in readers.items()}
    mend = "keep each item in one split, or say why not"
    problems = []
    for first, second in (("train", "test"), ("val", "test"), ("train", "val")):
        shared = ids[first] & ids[second]
        if shared:
            what = f"{len(shared)} items stand in {first} and in {second}, {min(shared)!r} among them"
            problems.append(Problem(f"{first}.jsonl", what, mend, "item_overlap", False))
    return problems


def write_clean(
    readers: dict[str, SplitReader], originals: dict[str, Path], cache: Path, root: Path
) -> dict[str, Path]:
    """Return split files without what was set aside, kept in the cache by content hash."""
    key = hashlib.sha256("".join(sha256_of(path) for path in originals.values()).encode()).hexdigest()[:24]
    folder = cache / f"clean-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    for split, reader in readers.items():
        lines = [json.dumps(query_record(query, root)) for query in reader.queries]
        write_atomically(folder / f"{split}.jsonl", "\n".join(lines) + "\n")
    return {split: folder / f"{split}.jsonl" for split in readers}


def query_record(query: Query, root: Path | None) -> dict[str, object]:
    """Return a query as one line of the format."""
    return {
        "query_id": query.id,
        "query": query.text,
        "domain": query.domain,
        "candidates": [_candidate_record(candidate, root) for candidate in query.candidates],
    }


def _candidate_record(candidate: Candidate, root: Path | None) -> dict[str, object]:
    image = str(candidate.image.relative_to(root)) if candidate.image and root else None
    record: dict[str, object] = {
        "id": candidate.id,
        "image": image,
        "text": candidate.text,
        "attributes": {k: list(v) if isinstance(v, tuple) else v for k, v in candidate.attributes.items()},
        "relevance": candidate.relevance,
        "score_v1": candidate.score_v1,
    }
    return record if candidate.complies is None else {**record, "complies": candidate.complies}


def load_split(path: Path, images: Path | None) -> list[Query]:
    """Return the queries of one checked split file; without `images` no candidate has a picture.

    Raises DataError where the file has changed into something that cannot be read.
    """
    reader = read_split(path, images, look_at_pictures=False)
    fatal = [problem for problem in reader.problems if problem.fatal]
    if fatal:
        raise DataError(f"{fatal[0].where}: {fatal[0].what}; {fatal[0].mend}")
    return reader.queries
