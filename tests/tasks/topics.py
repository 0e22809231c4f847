"""A data set of topics, for trainers that must be able to gain something in seconds."""

import json
from pathlib import Path

import numpy as np

TOPICS = 12


def write_topics(folder: Path) -> Path:
    """Return a data set in which an item is relevant where its topic is the search's; words name both differently."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    for split, count in (("train", 80), ("val", 40), ("test", 60)):
        lines = []
        for number in range(count):
            topic = int(rng.integers(TOPICS))
            candidates = []
            for place in range(8):
                own = topic if place < 2 else int(rng.integers(TOPICS))
                noise = [f"n{int(rng.integers(2000))}" for _ in range(4)]
                relevant = (own == topic) != (rng.random() < 0.015)  # as noisy as people's labels are
                candidates.append(
                    {
                        "id": f"{split}-{number}-{place}",
                        "image": None,
                        "text": " ".join([f"item{own}", *noise]),
                        "relevance": 2 if relevant else 0,
                        "score_v1": round(float(rng.normal(0.3 if relevant else 0.0, 1.0)), 4),
                    }
                )
            order = rng.permutation(8)
            query = " ".join([f"want{topic}", f"q{int(rng.integers(2000))}", f"q{int(rng.integers(2000))}"])
            pool = [candidates[i] for i in order]
            lines.append(json.dumps({"query_id": f"{split}-{number}", "query": query, "candidates": pool}))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder
