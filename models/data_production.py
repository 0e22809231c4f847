"""The person's own 120-query JSON, loaded honestly.

Candidate ids repeat across queries, so items are keyed by (query_id, id). The stored order is the
tier order, so candidates are shuffled. There is no picture behind the URLs: the image is absent. The
score, match score, tier, hard-negative fields, hashes and times all tell the label: none is a feature.
"""

import hashlib
import json
import random
from pathlib import Path

from models.data_folder import query_record
from models.dataset import Candidate, DataSource, Problem, Query
from nightshift.checkpoint import sha256_of, write_atomically

GRADES = {"high": 3, "medium": 2, "low": 1, "hard_negative": 0}
SHARES = (("test", 0.4), ("val", 0.2), ("train", 0.4))
SEED = 7
FACTS: dict[str, float | str] = {
    "image": "absent: the URLs are invented, no picture was ever there",
    "labels": "quality_tier (3/2/1/0); no human judged them",
    "order": "stored order is the tier order; candidates were shuffled",
}


def is_production(path: Path) -> bool:
    """Return whether this file looks like the person's data set."""
    return path.is_file() and path.suffix == ".json"


def _candidate(query_id: str, record: dict[str, object]) -> Candidate:
    return Candidate(
        id=f"{query_id}/{record['id']}",
        text=str(record["alt_description"]),
        relevance=GRADES[str(record["quality_tier"])],
        score_v1=float(str(record["score"])),
        attributes={"domain": str(record["domain"])},
    )


def _query(record: dict[str, object]) -> Query:
    records = record["candidates"]
    if not isinstance(records, list):
        raise TypeError("'candidates' is not a list")
    query_id = str(record["query_id"])
    candidates = [_candidate(query_id, item) for item in records]
    random.Random(f"{SEED}-{query_id}").shuffle(candidates)
    return Query(query_id, str(record["query"]), tuple(candidates), str(record["domain"]))


def split_of(text: str) -> str:
    """Return the split of a query, by its text, so that a repeated query stays on one side."""
    folded = " ".join(text.lower().split())
    share = int(hashlib.sha256(f"{SEED}-{folded}".encode()).hexdigest()[:8], 16) / 2**32
    for split, part in SHARES:
        if share < part:
            return split
        share -= part
    return SHARES[-1][0]


def read_production(path: Path, cache: Path) -> tuple[DataSource | None, list[Problem]]:
    """Return the data set, laid out as split files in the cache, and every problem found."""
    mend = "give a JSON file with the key 'inspirations', as production_dataset.json has it"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        queries = [_query(record) for record in document["inspirations"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"not in the production format ({type(error).__name__}: {error})"
        return None, [Problem(str(path), what, mend, "missing_key", True)]
    folder = cache / f"production-{sha256_of(path)[:24]}"
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for split, _ in SHARES:
        files[split] = folder / f"{split}.jsonl"
        lines = [json.dumps(query_record(q, None)) for q in queries if split_of(q.text) == split]
        write_atomically(files[split], "\n".join(lines) + "\n")
    ordered = {split: files[split] for split in ("train", "val", "test")}
    return DataSource("multimodal", path.stem, path, ordered, None, FACTS), []
