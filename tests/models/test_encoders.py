import json
from dataclasses import replace

import numpy as np
import pytest

from models import encoder_choice as choice_module
from models.data import load_split
from models.data_catalogue import catalogue
from models.embedding_cache import EmbeddingCache, content_key
from models.encoder_choice import Choice, choose
from models.encoders import SETTINGS, Encoders
from models.image_features import WIDTH, image_features
from models.pretrained import MINILM, weights_at_hand
from nightshift.instant import boottime_s
from nightshift.states import NightError

CLIP = "openai/clip-vit-base-patch32"
OFFLINE = Choice(None, None, {})


@pytest.fixture(scope="module")
def queries(tmp_path_factory):
    bar = catalogue(tmp_path_factory.mktemp("cache"), 120)
    return load_split(bar.splits["val"], bar.images)[:6]


def test_without_weights_the_answer_comes_within_a_second_and_says_what_runs_instead():
    began_s = boottime_s()
    assert not weights_at_hand("none/none")
    assert boottime_s() - began_s < 1.5
    choice = choose("none/none", "none/none", texts=10, seconds=1e6, pictures=True)
    assert (choice.text_source, choice.vision_source) == (None, None)
    assert "not at hand" in choice.spoken["text"]
    assert "not at hand" in choice.spoken["image"]
    assert choose("none/none", CLIP, 10, 1e6, pictures=False).spoken["image"] == "absent"


def test_a_sentence_encoder_too_slow_for_the_stage_gives_way_and_it_is_said(monkeypatch):
    monkeypatch.setattr(choice_module, "text_encoder_source", lambda name: "/weights")
    slow, fits = (choose(MINILM, "none/none", 1400, seconds, False) for seconds in (100, 200))
    assert slow.text_source is None
    assert "would take 20 s of 100 s" in slow.spoken["text"]
    assert (fits.text_source, fits.spoken["text"]) == (MINILM, MINILM)


def test_weights_that_are_gone_when_a_checkpoint_is_loaded_are_an_error_not_a_substitute(queries):
    encoders = Encoders.fit(OFFLINE, queries, "cpu", None)
    encoders.choice = Choice("none/none", None, {})
    with pytest.raises(NightError, match="none/none are not at hand"):
        encoders.texts(["gin"])


def test_a_checkpoint_encodes_as_before(queries, tmp_path):
    encoders = Encoders.fit(OFFLINE, queries, "cpu", None)
    encoders.save(tmp_path)
    again = Encoders.load(tmp_path)
    items = queries[0].candidates
    for name, rows in encoders.items(items).items():
        assert np.array_equal(rows, again.items(items)[name])
        assert rows.shape == (len(items), encoders.widths[name])


def test_the_sentence_encoder_is_saved_by_name_never_by_path(queries, tmp_path, monkeypatch):
    monkeypatch.setattr(choice_module, "text_encoder_source", lambda name: "/somewhere/on/this/machine")
    choice = choose(MINILM, "none/none", 10, 1e6, False)
    Encoders.fit(choice, queries, "cpu", None).save(tmp_path)
    assert json.loads((tmp_path / SETTINGS).read_text())["text_source"] == MINILM


def test_missing_numbers_are_flagged_and_scaled_on_train(queries):
    item = queries[0].candidates[0]
    high, low, none = (replace(item, attributes=a) for a in ({"abv": 40.0}, {"abv": 20.0}, {"abv": None}))
    train = [replace(queries[0], candidates=(replace(high, id="a"), replace(low, id="b")))]
    numbers = Encoders.fit(OFFLINE, train, "cpu", None).numbers
    assert numbers.encode([c.attributes for c in (high, low, none)]).tolist() == [[1, 0], [-1, 0], [0, 1]]


def test_a_picture_has_finite_features_that_follow_its_colour(tmp_path):
    from PIL import Image

    rows = []
    for name, colour in (("red", (255, 0, 0)), ("red2", (250, 5, 5)), ("blue", (0, 0, 255))):
        Image.new("RGB", (60, 40), colour).save(tmp_path / f"{name}.png")
        rows.append(image_features(tmp_path / f"{name}.png"))
    assert all(row.shape == (WIDTH,) and np.isfinite(row).all() for row in rows)
    assert np.linalg.norm(rows[0] - rows[1]) < np.linalg.norm(rows[0] - rows[2]) / 3


def test_the_cache_remembers_by_content_and_survives_a_torn_write(tmp_path):
    keys = [content_key(text) for text in (b"a", b"b")]
    cache = EmbeddingCache(tmp_path, "encoder 1")
    cache.add(keys, np.eye(2, dtype=np.float32))
    again = EmbeddingCache(tmp_path, "encoder 1")
    assert again.missing([*keys, content_key(b"c")]) == [2]
    assert np.array_equal(again.stack(keys[::-1]), np.eye(2)[::-1])
    assert EmbeddingCache(tmp_path, "encoder 2").missing(keys) == [0, 1]
    whole = cache.path.read_bytes()
    for cut in range(0, len(whole), 7):
        cache.path.write_bytes(whole[:cut])
        assert EmbeddingCache(tmp_path, "encoder 1").missing(keys) == [0, 1]
