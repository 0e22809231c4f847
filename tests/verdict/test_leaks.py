import numpy as np
import pytest
from PIL import Image

from models.dataset import Candidate, FeatureQuery, Query
from nightshift.states import Word
from verdict.leaks import find_leaks
from verdict.pictures import copied_items, thumbnail


def queries(split, count, texts=None, image=None, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Query(
            f"{split}-{i}",
            texts[i] if texts else f"find {split} thing {i}",
            tuple(
                Candidate(
                    f"{split}-{i}-{j}", f"{split} item {i} {j}", int(rng.integers(0, 3)), 0.1 * j, image
                )
                for j in range(6)
            ),
        )
        for i in range(count)
    ]


@pytest.fixture
def splits():
    return {"train": queries("train", 60), "val": queries("val", 50), "test": queries("test", 100)}


def renamed(query, name):
    return Query(name, query.text, query.candidates)


def test_clean_splits_have_no_leak(splits):
    found = find_leaks(splits)
    assert not found.reasons
    assert not found.left_out


def test_many_copied_queries_stop_the_night_and_few_are_left_out(splits):
    copies = [renamed(query, f"copy-{i}") for i, query in enumerate(splits["train"][:5])]
    stopped = find_leaks({**splits, "test": [*copies, *splits["test"]]})
    assert [reason.word for reason in stopped.reasons] == [Word.STOP]
    few = find_leaks({**splits, "test": [*copies[:2], *splits["test"]]})
    assert not few.reasons
    assert few.left_out == {"copy-0", "copy-1"}
    assert "judged without them" in few.warnings[0]


def test_a_copy_in_other_words_order_and_case_over_mostly_the_same_items_is_a_copy(splits):
    old = splits["train"][0]
    pool = (*old.candidates[:4], *splits["test"][0].candidates[:2])
    copies = [Query(f"copy-{i}", "0 THING,  train find", pool) for i in range(9)]
    found = find_leaks({**splits, "test": [*copies, *splits["test"]]})
    assert found.reasons[0].word is Word.STOP


def test_the_same_words_over_other_items_are_kept_and_said(splits):
    same = [Query(q.id, splits["train"][0].text, q.candidates) for q in splits["test"][:9]]
    found = find_leaks({**splits, "test": [*same, *splits["test"][9:]]})
    assert not found.reasons
    assert not found.left_out
    assert "9 of 100 test queries have the words" in found.lines[0]


def test_validation_that_is_training_stops_the_night(splits):
    found = find_leaks({**splits, "val": splits["train"]})
    assert "val queries stand in train" in found.reasons[0].what


def test_feature_files_leak_by_content_not_by_name():
    rng = np.random.default_rng(1)

    def letor(count):
        return [
            FeatureQuery(str(i), rng.normal(size=(8, 5)).astype(np.float32), rng.integers(0, 3, 8))
            for i in range(count)
        ]

    train, val, test = letor(40), letor(20), letor(50)
    assert not find_leaks({"train": train, "val": val, "test": test}).reasons
    shuffled = [FeatureQuery(f"x{q.id}", q.features[::-1], q.relevance[::-1]) for q in train[:10]]
    found = find_leaks({"train": train, "val": val, "test": [*test, *shuffled]})
    assert found.reasons[0].word is Word.STOP


def picture(path, seed, size=64):
    values = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(values, "RGB").resize((size, size), Image.Resampling.BICUBIC).save(path)
    return path


def with_pictures(split, paths):
    return [
        Query(f"{split}-{i}", f"{split} {i}", (Candidate(f"{split}-{i}-a", "", 1, 0.0, path),))
        for i, path in enumerate(paths)
    ]


def test_a_training_picture_on_another_test_item_is_found_re_encoded_too(tmp_path):
    learned = [picture(tmp_path / f"l{i}.png", i) for i in range(20)]
    asked = [picture(tmp_path / f"a{i}.png", 100 + i) for i in range(20)]
    with Image.open(learned[3]) as small:
        small.resize((150, 150), Image.Resampling.LANCZOS).save(tmp_path / "again.jpg", quality=70)
    (tmp_path / "same.png").write_bytes(learned[5].read_bytes())
    same, total = copied_items(
        with_pictures("train", learned),
        with_pictures("test", [*asked, tmp_path / "again.jpg", tmp_path / "same.png"]),
    )
    assert same == {"test-20-a", "test-21-a"}
    assert total == 22


def test_a_stock_picture_of_many_items_is_no_copy(tmp_path):
    stock = picture(tmp_path / "stock.png", 1)
    same, _ = copied_items(with_pictures("train", [stock]), with_pictures("test", [stock] * 4))
    assert not same


def test_flat_and_broken_pictures_have_no_thumbnail(tmp_path):
    Image.new("RGB", (40, 40), (200, 200, 200)).save(tmp_path / "flat.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert thumbnail(tmp_path / "flat.png") is None
    assert thumbnail(tmp_path / "broken.png") is None


def test_item_level_copies_pause_the_night(tmp_path, splits):
    learned = [picture(tmp_path / f"l{i}.png", i) for i in range(30)]
    train = with_pictures("train", learned)
    test = with_pictures(
        "test", [*learned[:5], *[picture(tmp_path / f"t{i}.png", 50 + i) for i in range(60)]]
    )
    found = find_leaks({"train": train, "val": splits["val"], "test": test})
    assert found.reasons[0].word is Word.PAUSE_AND_FIX
    assert "5 of 65 test items" in found.reasons[0].what
