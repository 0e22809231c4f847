"""One line of a split file, checked: what is wrong is named, and set aside or refused."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from models.data_images import picture_problem
from models.dataset import MAX_GRADE, AttributeValue, Candidate, Problem, Query

MENDS = {
    "broken_json": "write one JSON object per line",
    "missing_key": "add the key; see the example below",
    "empty_query": "give the query its text, or leave the line out",
    "duplicate_query_id": "give each query an id of its own",
    "duplicate_id": "list each item once per query",
    "not_finite": "write a finite number, or null",
    "bad_relevance": f"write a whole number from 0 to {MAX_GRADE}",
    "path_leaves_folder": "name a picture inside the folder, with a relative path",
    "missing_image": "add the picture, or write null where there is none",
    "broken_image": "save the picture again as JPEG or PNG",
    "oversized_image": "shrink the picture",
    "too_few_candidates": "give each query at least two candidates",
}


@dataclass
class SplitReader:
    """Parses the lines of one split and remembers what was wrong."""

    name: str
    folder: Path | None
    """Folder that image paths are relative to; None: no candidate gets a picture."""
    look_at_pictures: bool = True
    problems: list[Problem] = field(default_factory=list)
    queries: list[Query] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    pictures: dict[str, tuple[str, str] | None] = field(default_factory=dict)

    def note(self, where: str, kind: str, what: str, fatal: bool = False) -> None:
        """Remember one problem."""
        self.problems.append(Problem(where, what, MENDS[kind], kind, fatal))

    def read_line(self, number: int, line: str) -> None:
        """Take one line of the file."""
        where = f"{self.name}:{number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            self.note(where, "broken_json", f"not JSON: {error}", fatal=True)
            return
        if not isinstance(record, dict) or not isinstance(record.get("candidates"), list):
            self.note(where, "missing_key", "no key 'candidates' with a list", fatal=True)
            return
        query_id, text = record.get("query_id"), record.get("query")
        if not isinstance(query_id, str) or not isinstance(text, str):
            self.note(where, "missing_key", "no key 'query_id' or 'query' with a text", fatal=True)
        elif query_id in self.seen:
            self.note(
                f"{where} {query_id}", "duplicate_query_id", "this query id was used before", fatal=True
            )
        elif not text.strip():
            self.note(f"{where} {query_id}", "empty_query", "the query has no text")
        else:
            self.seen.add(query_id)
            self._keep(where, query_id, text, str(record.get("domain", "")), record["candidates"])

    def _keep(self, where: str, query_id: str, text: str, domain: str, records: list[object]) -> None:
        candidates: dict[str, Candidate] = {}
        for record in records:
            candidate = self._candidate(f"{where} {query_id}", record)
            if candidate is None:
                continue
            if candidate.id in candidates:
                self.note(f"{where} {candidate.id}", "duplicate_id", f"twice in query {query_id}")
                continue
            candidates[candidate.id] = candidate
        if len(candidates) < 2:
            self.note(f"{where} {query_id}", "too_few_candidates", f"{len(candidates)} usable candidates")
            return
        self.queries.append(Query(query_id, text, tuple(candidates.values()), domain))

    def _candidate(self, where: str, record: object) -> Candidate | None:
        if not isinstance(record, dict) or not isinstance(record.get("id"), str):
            self.note(where, "missing_key", "a candidate has no key 'id' with a text", fatal=True)
            return None
        item = f"{where.split(' ')[0]} {record['id']}"
        for key in ("text", "relevance", "score_v1"):
            if key not in record:
                self.note(item, "missing_key", f"no key {key!r}", fatal=True)
                return None
        grade, score = record["relevance"], record["score_v1"]
        if isinstance(grade, bool) or not isinstance(grade, int) or not 0 <= grade <= MAX_GRADE:
            self.note(item, "bad_relevance", f"relevance is {grade!r}")
            return None
        if not isinstance(score, int | float) or not math.isfinite(score):
            self.note(item, "not_finite", f"score_v1 is {score!r}")
            return None
        attributes = self._attributes(item, record.get("attributes") or {})
        image = self._image(item, record.get("image"))
        if attributes is None or image is False:
            return None
        complies = record.get("complies")
        return Candidate(
            id=record["id"],
            text=str(record["text"] or ""),
            relevance=grade,
            score_v1=float(score),
            image=image if isinstance(image, Path) else None,
            attributes=attributes,
            complies=complies if isinstance(complies, bool) else None,
        )

    def _attributes(self, item: str, record: object) -> dict[str, AttributeValue] | None:
        if not isinstance(record, dict):
            self.note(item, "missing_key", "attributes are not an object", fatal=True)
            return None
        values: dict[str, AttributeValue] = {}
        for name, value in record.items():
            if isinstance(value, float) and not math.isfinite(value):
                self.note(item, "not_finite", f"attribute {name} is {value}")
                return None
            if isinstance(value, list):
                values[str(name)] = tuple(str(part) for part in value)
            elif isinstance(value, bool):
                values[str(name)] = float(value)
            else:
                values[str(name)] = value if value is None or isinstance(value, str) else float(value)
        return values

    def _image(self, item: str, name: object) -> Path | bool | None:
        """Return the picture's path, None where the item has none, False where it must be set aside."""
        if name is None or self.folder is None:
            return None
        text = str(name)
        if text not in self.pictures:
            self.pictures[text] = self._picture_problem(self.folder, text)
        problem = self.pictures[text]
        if problem is None:
            return self.folder / text
        kind, what = problem
        self.note(item, kind, what, fatal=kind == "path_leaves_folder")
        return False

    def _picture_problem(self, folder: Path, name: str) -> tuple[str, str] | None:
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or "\\" in name:
            return "path_leaves_folder", f"image {name!r} leaves the folder"
        path = folder / name
        if not self.look_at_pictures:
            return None if path.is_file() else ("missing_image", f"there is no {name}")
        if not path.resolve().is_relative_to(folder.resolve()):
            return "path_leaves_folder", f"image {name!r} leads out of the folder"
        return picture_problem(path)


def read_split(path: Path, folder: Path | None, look_at_pictures: bool) -> SplitReader:
    """Return the reader after every line of a split file; an empty file is a fatal problem."""
    reader = SplitReader(path.name, folder, look_at_pictures)
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                reader.read_line(number, line)
    if not reader.queries and not any(problem.fatal for problem in reader.problems):
        reader.problems.append(
            Problem(path.name, "no usable query in this split", "give it queries", "empty_split", True)
        )
    return reader
