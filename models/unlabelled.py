"""A split without its labels: what a trainer that Nightshift cannot load may score, and no more."""

import json
from pathlib import Path

LABELS = ("relevance", "complies")


def unlabelled(path: Path, kind: str) -> str:
    """Return a sealed split's file without labels: `relevance` and `complies` gone, in LETOR files the grade 0."""
    lines = path.read_text().splitlines()
    if kind == "letor":
        return "".join(f"0 {rest}\n" for line in lines if (rest := line.partition(" ")[2]))
    return "".join(
        json.dumps(_bare(json.loads(line)), ensure_ascii=False) + "\n" for line in lines if line.strip()
    )


def _bare(query: dict[str, object]) -> dict[str, object]:
    candidates = query["candidates"]
    assert isinstance(candidates, list)
    bare = [{key: value for key, value in one.items() if key not in LABELS} for one in candidates]
    return {**query, "candidates": bare}
