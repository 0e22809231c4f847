"""Whether vectors that others stored can be believed to say anything at all."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.pretrained import MINILM, MINILM_TEXTS_PER_S
from verdict.answer import BELIEVED, CANNOT_TELL, NOT_BELIEVED, Answer
from verdict.feature_files import FeatureTable, read_features
from verdict.feature_files_rows import Floats
from verdict.isotropy import Isotropy, isotropy
from verdict.isotropy_shape import varying_columns

Flags = NDArray[np.bool_]
MOSTLY = 0.5
"""A larger share of zero rows or of constant columns is a fault; smaller ones are only counted."""
LISTS_OF_A_QUERY = {"score", "scores", "pred", "predictions", "label", "labels", "relevance", "rel", "grades"}
NOT_PROOF = "; that does not show that they come from the items"


def audit_features(path: Path) -> list[Answer]:
    """Return one answer per table of vectors in a file, or one that says it has none; raises NightError."""
    tables = read_features(path)
    if tables:
        return [audit_table(table) for table in tables]
    return [
        Answer(
            path.name,
            CANNOT_TELL,
            "no vectors found: no array or column has two rows of one width of 8 or more",
            advice="give the file in which the vectors are",
        )
    ]


def holds_vectors(path: Path) -> bool:
    """Return whether a file has vectors of items, not only lists of scores and labels; raises NightError."""
    places = (table.name.partition(":")[2] for table in read_features(path))
    return any(place.lower() not in LISTS_OF_A_QUERY for place in places)


def audit_table(table: FeatureTable) -> Answer:
    """Return whether a table of vectors is anything but noise, zeros, one vector or broken numbers."""
    facts: dict[str, float | int | str] = {
        "rows": len(table.vectors),
        "width": table.vectors.shape[1],
        "unreadable": table.unreadable,
        "how": table.how,
    }
    zero: Flags = ~np.any(table.vectors, axis=1)
    facts["zero_rows"] = int(zero.sum())
    if fault := _fault(table.vectors, zero):
        return Answer(table.name, NOT_BELIEVED, fault + _aside(table), facts, _again(len(table.vectors)))
    found = isotropy(table.vectors[~zero])
    facts |= _facts(found)
    sentence = found.sentence + (NOT_PROOF if found.told and not found.noise else "") + _aside(table)
    if not found.told:
        return Answer(table.name, CANNOT_TELL, sentence, facts, "give more rows as they were first stored")
    if found.noise:
        return Answer(table.name, NOT_BELIEVED, sentence, facts, _again(len(table.vectors)))
    return Answer(table.name, BELIEVED, sentence, facts)


def _fault(vectors: Floats, zero: Flags) -> str:
    """Return what is wrong with vectors before their directions are looked at, or nothing."""
    rows, width = vectors.shape
    broken = int((~np.isfinite(vectors)).any(axis=1).sum())
    if broken:
        return f"{broken:,} of {rows:,} vectors hold values that are not finite numbers"
    if zero.all():
        return f"all {rows:,} vectors of width {width:,} are zeros"
    if zero.mean() > MOSTLY:
        return f"{int(zero.sum()):,} of {rows:,} vectors are all zeros"
    filled = vectors[~zero]
    if (filled == filled[0]).all():
        return f"all {len(filled):,} vectors are one and the same; they tell no two items apart"
    constant = width - int(varying_columns(filled).sum())
    if constant > MOSTLY * width:
        return f"{constant:,} of {width:,} columns have one value in all {len(filled):,} rows"
    return ""


def _aside(table: FeatureTable) -> str:
    if not table.unreadable:
        return ""
    return (
        f" (set aside as unreadable: {table.unreadable:,} of {table.unreadable + len(table.vectors):,} rows)"
    )


def _facts(found: Isotropy) -> dict[str, float | int | str]:
    return {
        "compared_rows": found.n,
        "duplicate_rows": found.duplicates,
        "varying_columns": found.width,
        "axes": found.axes,
        "cosine_sd": found.cosine_sd,
        "cosine_sd_of_noise": found.cosine_sd_of_noise,
        "nearest": found.nearest,
        "nearest_of_noise": found.nearest_of_noise,
        "tails": found.tails,
        "tails_of_noise": found.tails_of_noise,
        "top_eigenvalue": found.top_eigenvalue,
        "top_eigenvalue_of_noise": found.top_eigenvalue_of_noise,
        "flat": int(found.flat),
        "p_spread": found.p_spread,
        "p_nearest": found.p_nearest,
        "p_tails": found.p_tails,
    }


def _again(rows: int) -> str:
    minutes = math.ceil(rows / MINILM_TEXTS_PER_S / 60)
    return (
        f"make them again from the items themselves; texts with {MINILM.split('/')[-1]} take about "
        f"{minutes:,} {'minute' if minutes == 1 else 'minutes'} on one core"
    )
