"""The verdict at 23:00, on data made for it: what can be answered, what cannot, what halts."""

import json

import numpy as np
import pytest
from PIL import Image

from flows.request import request_for
from models.dataset import Candidate, Query
from models.embedding_cache import EmbeddingCache, content_key
from models.image_features import VERSION, image_features
from nightshift.states import NightError
from schedules.plan_source import BUILT_IN
from tasks.launch import make_seal
from verdict.cache_check import check_cache

WORDS = ["oak", "smoke", "plum", "salt", "honey", "grass", "stone", "rose", "clay", "rain"]


def write(folder, sizes, edit=lambda split, number, record: record, noise=0.5):
    folder.mkdir(parents=True)
    for position, (split, count) in enumerate(sizes.items()):
        rng = np.random.default_rng([8, position])
        lines = []
        for number in range(count):
            asked = rng.choice(WORDS, 2, replace=False)
            pool = []
            for item in range(12):
                own = rng.choice(WORDS, 3, replace=False)
                met = len(set(asked) & set(own))
                pool.append(
                    {
                        "id": f"{split}{number}-{item}",
                        "image": None,
                        "text": " ".join(own),
                        "relevance": met,
                        "score_v1": float(met + rng.normal(0, noise)),
                    }
                )
            record = {"query_id": f"{split}{number}", "query": " and ".join(asked), "candidates": pool}
            lines.append(json.dumps(edit(split, number, record)))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def evening(tmp_path, data, plan=None):
    home = tmp_path / "runs"
    home.mkdir(exist_ok=True)
    request = request_for("fusion", plan, str(data), str(home), 1.0, "2026-11-25")
    return make_seal(request).preflight


SIZES = {"train": 80, "val": 40, "test": 200}


def test_a_fair_data_set_can_answer_and_the_smallest_gain_is_named(tmp_path):
    found = evening(tmp_path, write(tmp_path / "data", SIZES, noise=0.9))
    assert found.can_answer
    assert not found.halted
    assert 0 < found.minimum_detectable_effect < 0.05
    assert found.sentence.startswith("Tonight can answer: 200 test queries")
    assert f"{found.head_room:.4f} is left above" in found.lines[0]


def test_few_queries_cannot_answer_and_how_many_would_do_is_said(tmp_path):
    found = evening(tmp_path, write(tmp_path / "data", {"train": 80, "val": 40, "test": 24}, noise=1.5))
    assert not found.can_answer
    assert not found.halted
    assert "24 test queries show a gain only from" in found.sentence
    assert "queries would do" in found.sentence
    fewer = evening(tmp_path, write(tmp_path / "fewer", {"train": 80, "val": 40, "test": 7}))
    assert "7 test queries are too few" in fewer.sentence


def test_a_saturated_baseline_cannot_answer(tmp_path):
    found = evening(tmp_path, write(tmp_path / "data", SIZES, noise=0.0))
    assert not found.can_answer
    assert "saturated: V1.0 already scores 1.0000" in found.sentence


def test_labels_that_are_all_zero_cannot_answer(tmp_path):
    def zero(split, _number, record):
        for item in record["candidates"] if split == "test" else ():
            item["relevance"] = 0
        return record

    found = evening(tmp_path, write(tmp_path / "data", SIZES, zero))
    assert not found.can_answer
    assert "label key" in found.sentence


def test_a_leak_halts(tmp_path):
    def leak(_split, _number, record):
        for item in record["candidates"]:
            item["attributes"] = {"grade": item["relevance"] * 3}
        return record

    found = evening(tmp_path, write(tmp_path / "data", SIZES, leak))
    assert not found.can_answer
    assert found.sentence.startswith("Halted before any GPU hour is spent: the column 'grade'")


METRIC = "def {name}(scores, labels):\n    return {value}\n"


@pytest.mark.parametrize("value", ["1.0", "None", "max(scores)"])
def test_an_invalid_metric_halts(tmp_path, value):
    (tmp_path / "mine.py").write_text(METRIC.format(name="ndcg", value=value))
    named = BUILT_IN.read_text().replace('name = "fusion"', 'name = "fusion"\nmetric = "mine.py:ndcg"', 1)
    (tmp_path / "plan.toml").write_text(named)
    found = evening(tmp_path, write(tmp_path / "data", SIZES), str(tmp_path / "plan.toml"))
    assert "mine.py:ndcg" in found.halted[0]


def test_cannot_answer_halts_only_where_the_plan_says_so(tmp_path):
    (tmp_path / "plan.toml").write_text(
        BUILT_IN.read_text().replace("schema = 1", "schema = 1\nhalt_if_cannot_answer = true", 1)
    )
    data = write(tmp_path / "data", {"train": 80, "val": 40, "test": 7})
    found = evening(tmp_path, data, str(tmp_path / "plan.toml"))
    assert found.halted == (found.sentence,)


def test_a_poisoned_cache_halts(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for number in range(20):
        path = tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8), "RGB").save(path)
        paths.append(path)
    queries = [Query("q", "x", tuple(Candidate(str(i), "", 1, 0.0, p) for i, p in enumerate(paths)))]
    keys = [content_key(path.read_bytes()) for path in paths]
    real = np.stack([image_features(path) for path in paths])
    EmbeddingCache(tmp_path / "good", VERSION).add(keys, real)
    reasons, compared = check_cache(tmp_path / "good", queries, 1)
    assert not reasons
    assert "16 cached picture features made anew" in compared
    noise = rng.normal(size=real.shape).astype(np.float32)
    EmbeddingCache(tmp_path / "bad", VERSION).add(keys, noise)
    reasons, _ = check_cache(tmp_path / "bad", queries, 1)
    assert "16 of 16 cached picture features" in reasons[0].what


def test_bad_data_are_still_refused(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(NightError):
        evening(tmp_path, tmp_path / "data")
