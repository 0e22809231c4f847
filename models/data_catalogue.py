"""The built-in bar catalogue: generated, deterministic, with known truth.

Each query asks for one fact per modality: a colour (only in the picture), a flavour (only in the
description), an origin (only in the attributes). Relevance is how many of the three an item has, so
every modality carries independent information, and the best nDCG@10 that a subset of them can reach
is known: rank by the number of visible facts that match, ties by expectation.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import numpy as np

from models.data_catalogue_draw import COLOURS, SHAPES, draw_item
from models.data_catalogue_words import FLAVOURS, ORIGINS, TAGS, describe, query_text, text_scores
from models.dataset import DataSource
from models.metrics import mean_ndcg
from nightshift.checkpoint import sha256_of

VERSION = 1
SEED = 20261124
QUERIES = {"train": 240, "val": 80}
POOL = 30
MATCH = 0.35
"""Chance that a candidate has one of the asked facts."""
MODALITIES = ("image", "text", "attributes")
MANIFEST = "catalogue.json"


@dataclass(frozen=True)
class Item:
    """One drink."""

    id: str
    domain: str
    colour: str
    flavour: str
    origin: str
    text: str
    price: float
    abv: float | None
    tags: tuple[str, ...]


def make_items(split: str, rng: np.random.Generator) -> list[Item]:
    """Return one item per (domain, colour, flavour, origin), in an order that says nothing."""
    facts = list(product(SHAPES, COLOURS, FLAVOURS, ORIGINS))
    items = []
    for number, position in enumerate(rng.permutation(len(facts))):
        domain, colour, flavour, origin = facts[position]
        sober = domain in ("coffee", "mocktail")
        items.append(
            Item(
                id=f"{split}-{number:05d}",
                domain=domain,
                colour=colour,
                flavour=flavour,
                origin=origin,
                text=describe(domain, flavour, rng),
                price=round(float(rng.uniform(3, 19)), 1),
                abv=None if sober else round(float(rng.uniform(3, 40)), 1),
                tags=tuple(tag for tag in TAGS if rng.random() < 0.6),
            )
        )
    return items


Asked = tuple[str, str, str, str]
"""Domain, colour, flavour, origin."""


def ask_facts(rng: np.random.Generator) -> Asked:
    """Return what a new query asks for."""
    domain, colour, flavour, origin = (
        str(rng.choice(options)) for options in (list(SHAPES), COLOURS, FLAVOURS, ORIGINS)
    )
    return domain, colour, flavour, origin


def draw_pool(asked: Asked, items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    """Return the candidates for (domain, colour, flavour, origin), each fact matched by chance MATCH."""
    domain, *facts = asked
    by_pattern: dict[tuple[bool, ...], list[Item]] = {}
    for position in rng.permutation(len(items)):
        item = items[position]
        if item.domain == domain:
            pattern = tuple(
                a == b for a, b in zip(facts, (item.colour, item.flavour, item.origin), strict=True)
            )
            by_pattern.setdefault(pattern, []).append(item)
    pool: list[Item] = []
    while len(pool) < POOL:
        available = by_pattern.get(tuple(bool(hit) for hit in rng.random(3) < MATCH))
        if available:
            pool.append(available.pop())
    return [pool[position] for position in rng.permutation(POOL)]


def matches(item: Item, asked: Asked) -> dict[str, bool]:
    """Return which asked facts an item has, by the modality that shows them."""
    return {
        "image": item.colour == asked[1],
        "text": item.flavour == asked[2],
        "attributes": item.origin == asked[3],
    }


def best_reachable(hits: Sequence[Sequence[dict[str, bool]]]) -> dict[str, float]:
    """Return the best nDCG@10 per subset of modalities, given which facts every candidate has."""
    labels = [np.array([sum(hit.values()) for hit in pool], dtype=np.int64) for pool in hits]
    best = {}
    for size in (1, 2, 3):
        for subset in combinations(MODALITIES, size):
            scores = [np.array([float(sum(hit[m] for m in subset)) for hit in pool]) for pool in hits]
            name = "all" if size == len(MODALITIES) else "_".join(subset)
            best[f"best_ndcg_{name}"] = round(mean_ndcg(scores, labels), 4)
    best["ndcg_random"] = round(mean_ndcg([np.zeros(len(pool)) for pool in hits], labels), 4)
    return best


def _write_split(folder: Path, split: str, queries: int, rng: np.random.Generator) -> dict[str, float]:
    items = make_items(split, rng)
    for item in items:
        draw_item(item.colour, item.domain, rng).save(folder / "images" / f"{item.id}.png", compress_level=1)
    hits = []
    with (folder / f"{split}.jsonl").open("w") as file:
        for number in range(queries):
            asked = ask_facts(rng)
            pool = draw_pool(asked, items, rng)
            tag = str(rng.choice(TAGS)) if rng.random() < 0.3 else None
            text = query_text(asked, tag, rng)
            found = [matches(item, asked) for item in pool]
            hits.append(found)
            record = _record(f"{split}-q{number:04d}", asked[0], text, pool, found, tag)
            file.write(json.dumps(record, separators=(",", ":")) + "\n")
    return best_reachable(hits)


def _record(
    query_id: str, domain: str, text: str, pool: list[Item], found: list[dict[str, bool]], tag: str | None
) -> dict[str, object]:
    scores = text_scores(text, [item.text for item in pool])
    candidates = [
        {
            "id": item.id,
            "image": f"images/{item.id}.png",
            "text": item.text,
            "attributes": {
                "domain": item.domain,
                "origin": item.origin,
                "price_eur": item.price,
                "abv_pct": item.abv,
                "tags": list(item.tags),
            },
            "relevance": sum(hit.values()),
            "score_v1": round(score, 6),
            "complies": hit["attributes"] and (tag is None or tag in item.tags),
        }
        for item, hit, score in zip(pool, found, scores, strict=True)
    ]
    return {"query_id": query_id, "query": text, "domain": domain, "candidates": candidates}


def generate(folder: Path, test_queries: int, seed: int = SEED) -> dict[str, float]:
    """Return the known truth of the test split, after the whole catalogue is in this new folder."""
    (folder / "images").mkdir(parents=True)
    known: dict[str, float] = {}
    for number, (split, queries) in enumerate({**QUERIES, "test": test_queries}.items()):
        known = _write_split(folder, split, queries, np.random.default_rng([seed, number]))
    return known


def catalogue(cache: Path, test_queries: int, seed: int = SEED) -> DataSource:
    """Return the catalogue, generated into the cache once and reused while it is whole."""
    folder = cache / f"catalogue-{test_queries}-v{VERSION}-{seed}"
    known = _known_truth(folder)
    if known is None:
        aside = folder.with_name(f".{folder.name}.tmp")
        for path in (aside, folder):
            shutil.rmtree(path, ignore_errors=True)
        known = generate(aside, test_queries, seed)
        hashes = {split: sha256_of(aside / f"{split}.jsonl") for split in (*QUERIES, "test")}
        (aside / MANIFEST).write_text(json.dumps({"known": known, "sha256": hashes}))
        aside.rename(folder)
    return DataSource(
        kind="multimodal",
        name=f"built-in bar catalogue ({test_queries} test queries)",
        origin=folder,
        splits={split: folder / f"{split}.jsonl" for split in (*QUERIES, "test")},
        images=folder,
        facts=known,
    )


def _known_truth(folder: Path) -> dict[str, float] | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        whole = all(sha256_of(folder / f"{s}.jsonl") == digest for s, digest in manifest["sha256"].items())
    except (OSError, ValueError, KeyError):
        return None
    return {str(k): float(v) for k, v in manifest["known"].items()} if whole else None
