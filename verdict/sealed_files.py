"""What data and code were before the start, as hashes, and what has changed since."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from models.dataset import DataSource, FeatureQuery, Query
from nightshift.checkpoint import sha256_of
from schedules.plan import Night
from verdict.seal import SealedData, SealedFile, SealedPictures, SealedSplit
from verdict.split_files import Queries, read_split_file

PACKAGES = ("nightshift", "schedules", "models", "verdict")
TRAINERS_ONLY = ("train_", "tune_", "measure_", "evaluate_", "prepare")
"""Modules of models/ that the judge never loads; a change there is not a change of the judge."""
MOST_FOREIGN_FILES = 500


def seal_data(source: DataSource) -> SealedData:
    """Return the data set with the hash of every split, of the pools in it, and of the pictures."""
    counts: dict[str, int] = {}
    for problem in source.set_aside:
        counts[problem.kind] = counts.get(problem.kind, 0) + 1
    splits = {name: read_queries(source, name) for name in source.splits}
    return SealedData(
        kind=source.kind,
        name=source.name,
        origin=str(source.origin),
        splits={name: sealed_file(path) for name, path in source.splits.items()},
        images=str(source.images) if source.images else None,
        pictures=sealed_pictures(splits.values()),
        contents={name: sealed_split(queries, name == "test") for name, queries in splits.items()},
        facts=dict(source.facts),
        set_aside=counts,
    )


def read_queries(source: DataSource, split: str) -> Queries:
    """Return one split of a checked data set."""
    return read_split_file(source.kind, [*source.splits.values()], source.splits[split], source.images)


def sealed_file(path: Path) -> SealedFile:
    """Return a file's path, hash and size."""
    return SealedFile(path=str(path.resolve()), sha256=sha256_of(path), size=path.stat().st_size)


def sealed_split(queries: Queries, with_pools: bool) -> SealedSplit:
    """Return what a split holds; `with_pools` names every query's pool."""
    searches = [query for query in queries if isinstance(query, Query)]
    baseline = [(q.id, c.id, c.score_v1) for q in searches for c in q.candidates]
    return SealedSplit(
        queries=len(queries),
        pools={query.id: pool_hash(query) for query in queries} if with_pools else {},
        baseline=hashlib.sha256(repr(baseline).encode()).hexdigest() if baseline else "",
    )


def pool_hash(query: Query | FeatureQuery) -> str:
    """Return what names a pool: which candidates it has, with which labels, in any order."""
    if isinstance(query, Query):
        content = repr(sorted((c.id, c.relevance) for c in query.candidates)).encode()
    else:
        content = query.features.tobytes() + query.relevance.tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


def sealed_pictures(splits: Iterable[Queries]) -> SealedPictures | None:
    """Return one hash over every picture's name and content, or None where no item has a picture."""
    paths = {
        c.image
        for queries in splits
        for q in queries
        if isinstance(q, Query)
        for c in q.candidates
        if c.image
    }
    if not paths:
        return None
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.name} {sha256_of(path)}\n".encode() if path.is_file() else b"gone\n")
    return SealedPictures(count=len(paths), sha256=digest.hexdigest())


def changed_files(files: Mapping[str, SealedFile]) -> list[str]:
    """Return one line per sealed file that is not what it was at the start."""
    lines = []
    for name, file in files.items():
        path = Path(file.path)
        if not path.is_file():
            lines.append(f"{name}: {path.name} is gone")
        elif path.stat().st_size != file.size or sha256_of(path) != file.sha256:
            lines.append(f"{name}: {path.name} is not the file that was sealed")
    return lines


def changed_pools(sealed: SealedSplit, queries: Queries) -> list[str]:
    """Return one line where the queries or pools about to be judged are not the sealed ones."""
    if len(queries) != sealed.queries:
        return [f"{len(queries)} queries are judged, {sealed.queries} were sealed"]
    other = [q.id for q in queries if sealed.pools and sealed.pools.get(q.id) != pool_hash(q)]
    if not other:
        return []
    return [f"{len(other)} pools are not the sealed ones, that of query {other[0]!r} among them"]


def code_root() -> Path:
    """Return the folder that this project's packages lie in."""
    return Path(__file__).parents[1]


def sealed_code(night: Night, plan_dir: Path) -> dict[str, str]:
    """Return module -> sha256 of all that may judge or train tonight, foreign trainers' folders included."""
    root = code_root()
    ours = {
        str(path.relative_to(root)): sha256_of(path)
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
    }
    return ours | {
        f"plan:{path.relative_to(plan_dir)}": sha256_of(path) for path in _foreign(night, plan_dir)
    }


def _foreign(night: Night, plan_dir: Path) -> list[Path]:
    """Return the scripts that the stages' commands name, and the Python files beside them."""
    found: set[Path] = set()
    for stage in night.stages:
        for word in stage.command:
            path = plan_dir / word
            if path.is_file() and path.resolve().is_relative_to(plan_dir.resolve()):
                found |= {path, *sorted(path.parent.glob("*.py"))[:MOST_FOREIGN_FILES]}
    return sorted(found)


def judge_code_sha256(code: Mapping[str, str] | None = None) -> str:
    """Return one hash over the code that judges: of these sealed modules, or as it stands on disk now."""
    if code is None:
        root = code_root()
        code = {
            str(path.relative_to(root)): sha256_of(path)
            for package in PACKAGES
            for path in (root / package).rglob("*.py")
        }
    lines = [f"{name} {digest}\n" for name, digest in sorted(code.items()) if judges(name)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def judges(module: str) -> bool:
    """Return whether the judge may load this module."""
    package, _, name = module.partition("/")
    return package in PACKAGES and not (package == "models" and name.startswith(TRAINERS_ONLY))


def changed_code(sealed: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the modules that differ, were added to a package of ours, or are gone; sorted."""
    return sorted(name for name in {*sealed, *now} if sealed.get(name) != now.get(name))
