from dataclasses import replace

import numpy as np
from PIL import Image

from models.dataset import Candidate, Query
from models.ranker_features import fit_features, load_features, save_features
from models.ranker_profile import _ridge

COLOURS = {"apple": (220, 30, 30), "lime": (40, 200, 40), "plum": (90, 30, 140)}


def shop(folder, queries=18, seed=0, pictures=True):
    """Queries whose answer shows in the text, the maker, the weight or the picture."""
    rng = np.random.default_rng(seed)
    for fruit, colour in COLOURS.items():
        Image.new("RGB", (40, 30), colour).save(folder / f"{fruit}.png")
    made = []
    for number in range(queries):
        wanted = list(COLOURS)[number % 3]
        pool = []
        for at in range(9):
            fruit = list(COLOURS)[at % 3]
            attributes = {
                "maker": None if at == 8 else f"{fruit} farm",
                "tags": ("fresh", fruit[:2]),
                "grams": 100.0 * (at % 3) + float(rng.normal()),
            }
            text = "fresh fruit" if at < 3 else f"ripe {fruit}"
            image = folder / f"{fruit}.png" if pictures and at != 5 else None
            item = f"{number}-{at}"
            pool.append(Candidate(item, text, 3 * (fruit == wanted), float(rng.normal()), image, attributes))
        made.append(Query(f"q{number}", f"one {wanted} please", tuple(pool), domain="fruit"))
    return made


def column(space, matrices, name):
    return np.stack([matrix[:, space.names.index(name)] for matrix in matrices])


def test_columns_have_names_and_missing_values_are_nan(tmp_path):
    queries = shop(tmp_path)
    space, train = fit_features(queries)
    assert space.modalities == ("text", "attributes", "image")
    assert all(matrix.shape == (9, len(space.names)) for matrix in train)
    assert len(set(space.names)) == len(space.names)
    assert np.isnan(column(space, train, "match:image")[:, 5]).all()
    assert np.isnan(column(space, train, "in_query:maker")[:, 8]).all()
    assert (column(space, train, "missing:maker")[:, 8] == 1).all()
    others = [name for name in space.names if "image" not in name and name != "in_query:maker"]
    assert all(np.isfinite(column(space, train, name)).all() for name in others)


def test_a_new_query_is_matched_by_text_attributes_and_picture(tmp_path):
    space, _ = fit_features(shop(tmp_path))
    (query,) = shop(tmp_path, 1, seed=1)
    matrix = space.matrices([query])
    for block in ("text", "attributes", "image"):
        match = np.nan_to_num(column(space, matrix, f"match:{block}")[0], nan=-9.0)
        asked = match[3:8] if block == "text" else match
        labels = query.relevance()[3:8] if block == "text" else query.relevance()
        assert labels[np.argmax(asked)] > 0, block


def test_labels_of_an_unseen_query_are_not_read(tmp_path):
    space, _ = fit_features(shop(tmp_path))
    (query,) = shop(tmp_path, 1, seed=1)
    turned = tuple(replace(c, relevance=4 - c.relevance, complies=True) for c in query.candidates)
    honest, blind = space.matrices([query, replace(query, candidates=turned)])
    np.testing.assert_array_equal(honest, blind)


def test_stored_features_give_the_same_numbers(tmp_path):
    queries = shop(tmp_path)
    space, _ = fit_features(queries)
    save_features(space, tmp_path)
    for before, after in zip(space.matrices(queries), load_features(tmp_path).matrices(queries), strict=True):
        np.testing.assert_array_equal(before, after)
    with np.load(tmp_path / "features.npz", allow_pickle=False) as arrays:
        assert arrays.files


def test_without_pictures_or_attributes_only_the_text_is_read(tmp_path):
    plain = [
        replace(query, candidates=tuple(replace(c, image=None, attributes={}) for c in query.candidates))
        for query in shop(tmp_path)
    ]
    space, train = fit_features(plain)
    assert space.modalities == ("text",)
    assert train[0].shape == (9, len(space.names))


def test_training_matches_are_those_of_a_model_without_the_query():
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(12, 4)), rng.normal(size=(12, 3))
    _, left_out = _ridge(inputs, targets)
    for row in range(12):
        others = np.arange(12) != row
        weights, _ = _ridge(inputs[others], targets[others])
        np.testing.assert_allclose(inputs[row] @ weights, left_out[row], rtol=1e-6)
