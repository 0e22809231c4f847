import json
import math
import zipfile

import numpy as np
import pytest
from PIL import Image

from models.data import (
    check_source,
    corrected_example,
    letor_v1,
    load_letor,
    load_split,
    open_source,
    summary,
)
from models.data_catalogue import MODALITIES, best_reachable, catalogue
from models.data_letor import read_letor
from models.data_production import split_of
from models.dataset import DataError
from nightshift.checkpoint import sha256_of


def candidate(name, **changes):
    record = {"id": name, "image": f"images/{name}.png", "text": "a thing", "relevance": 1, "score_v1": 0.5}
    return {**record, "attributes": {"price": 2.0}, **changes}


def query(name="q", candidates=None, **changes):
    pool = candidates or [candidate("a"), candidate("b", relevance=0), candidate("c", relevance=2)]
    return {"query_id": name, "query": "a red thing", "candidates": pool, **changes}


def write(folder, lines, pictures="abc"):
    folder.mkdir(exist_ok=True)
    (folder / "images").mkdir(exist_ok=True)
    for name in pictures:
        Image.new("RGB", (8, 8), "red").save(folder / "images" / f"{name}.png")
    for split in ("train", "val", "test"):
        chosen = lines if split == "train" else [query(f"{split}-q")]
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in chosen)
        (folder / f"{split}.jsonl").write_text(text + "\n")
    return folder


def problems_of(tmp_path, lines, **kwargs):
    source, problems = check_source(write(tmp_path / "data", lines, **kwargs), tmp_path / "cache")
    return source, [p for p in problems if p.kind != "item_overlap"]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"image": "images/absent.png"}, "missing_image"),
        ({"score_v1": math.nan}, "not_finite"),
        ({"attributes": {"price": math.inf}}, "not_finite"),
        ({"relevance": 7}, "bad_relevance"),
        ({"relevance": True}, "bad_relevance"),
        ({"id": "a"}, "duplicate_id"),
    ],
)
def test_a_bad_item_is_set_aside_by_name_and_the_rest_is_used(tmp_path, change, kind):
    bad = query(
        candidates=[candidate("a"), candidate("b", relevance=0), candidate("c", relevance=2) | change]
    )
    source, problems = problems_of(tmp_path, [bad, query("q2")])
    assert [p.kind for p in problems] == [kind]
    assert not problems[0].fatal
    assert "train.jsonl:1" in problems[0].where
    assert source is not None
    kept = load_split(source.splits["train"], source.images)
    assert [len(q.candidates) for q in kept] == [2, 3]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("{broken", "broken_json"),
        ({"query_id": "x", "query": "y"}, "missing_key"),
        (query(candidates=[{"id": "a"}, candidate("b")]), "missing_key"),
        (query("q2"), "duplicate_query_id"),
        (query(candidates=[candidate("a"), candidate("b", image="../outside.png")]), "path_leaves_folder"),
        (query(candidates=[candidate("a"), candidate("b", image="/etc/passwd")]), "path_leaves_folder"),
    ],
)
def test_a_data_set_that_cannot_be_trusted_is_refused(tmp_path, line, kind):
    source, problems = problems_of(tmp_path, [query("q2"), line])
    assert source is None
    fatal = [p for p in problems if p.fatal]
    assert fatal[0].kind == kind
    assert "train.jsonl:2" in fatal[0].where
    with pytest.raises(DataError, match=r"train\.jsonl:2"):
        open_source(tmp_path / "data", tmp_path / "cache")
    assert json.loads(corrected_example(fatal[0]))["candidates"]


def test_an_empty_query_and_a_lonely_candidate_are_set_aside(tmp_path):
    lines = [query("q1", query="  "), query("q2", candidates=[candidate("a")]), query("q3")]
    source, problems = problems_of(tmp_path, lines)
    assert sorted(p.kind for p in problems) == ["empty_query", "too_few_candidates"]
    assert source is not None
    assert [q.id for q in load_split(source.splits["train"], source.images)] == ["q3"]


def test_a_picture_that_leads_out_of_the_folder_is_refused(tmp_path):
    folder = write(tmp_path / "data", [query()])
    (tmp_path / "secret.png").write_bytes((folder / "images" / "a.png").read_bytes())
    (folder / "images" / "a.png").unlink()
    (folder / "images" / "a.png").symlink_to(tmp_path / "secret.png")
    source, problems = check_source(folder, tmp_path / "cache")
    assert source is None
    assert any(p.kind == "path_leaves_folder" for p in problems)


def test_broken_and_oversized_pictures_are_set_aside(tmp_path):
    folder = write(tmp_path / "data", [query()])
    (folder / "images" / "a.png").write_bytes(b"no picture")
    huge = Image.new("1", (30_000, 30_000))
    huge.save(folder / "images" / "b.png")
    _, problems = check_source(folder, tmp_path / "cache")
    kinds = {p.kind for p in problems}
    assert {"broken_image", "oversized_image"} <= kinds


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "images/../../evil.png"])
def test_an_archive_that_leaves_its_folder_is_refused(tmp_path, name):
    folder = write(tmp_path / "data", [query()])
    for picture in (folder / "images").iterdir():
        picture.unlink()
    (folder / "images").rmdir()
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        archive.writestr(name, b"x")
    source, problems = check_source(folder, tmp_path / "cache")
    assert source is None
    assert problems[0].kind == "broken_zip"
    assert not (tmp_path / "evil.png").exists()
    assert not list((tmp_path / "cache").glob("unpacked-*"))


def test_bombs_links_and_broken_archives_are_refused(tmp_path):
    folder = write(tmp_path / "data", [query()])
    (folder / "images").rename(folder / "elsewhere")
    with zipfile.ZipFile(folder / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/a.png", b"\0" * (30 * 2**20))
    assert "unpacks to" in check_source(folder, tmp_path / "cache")[1][0].what
    link = zipfile.ZipInfo("images/a.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "symbolic link" in check_source(folder, tmp_path / "cache")[1][0].what
    (folder / "images.zip").write_bytes(b"PK not a zip")
    assert "broken zip" in check_source(folder, tmp_path / "cache")[1][0].what


def test_an_archive_is_unpacked_once(tmp_path):
    folder = write(tmp_path / "data", [query()])
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for picture in (folder / "images").iterdir():
            archive.write(picture, f"images/{picture.name}")
    for picture in (folder / "images").iterdir():
        picture.unlink()
    (folder / "images").rmdir()
    first, second = (open_source(folder, tmp_path / "cache") for _ in range(2))
    assert first.images == second.images
    assert load_split(first.splits["train"], first.images)[0].candidates[0].image.exists()


def test_the_same_items_in_two_splits_are_a_warning(tmp_path):
    source, problems = check_source(write(tmp_path / "data", [query()]), tmp_path / "cache")
    assert source is not None
    assert {p.kind for p in problems} == {"item_overlap"}


def test_an_unknown_thing_is_refused_with_what_is_known(tmp_path):
    (tmp_path / "x.csv").write_text("a,b")
    with pytest.raises(DataError, match=r"train\.jsonl"):
        open_source(tmp_path / "x.csv", tmp_path / "cache")


# ---------------------------------------------------------------- the built-in catalogue


@pytest.fixture(scope="module")
def bar(tmp_path_factory):
    return catalogue(tmp_path_factory.mktemp("cache"), 120)


def test_the_catalogue_is_the_same_bytes_every_time(bar, tmp_path):
    again = catalogue(tmp_path, 120)
    for split, path in bar.splits.items():
        assert sha256_of(path) == sha256_of(again.splits[split])
    pictures = sorted((bar.images / "images").iterdir())
    assert sha256_of(pictures[7]) == sha256_of(again.images / "images" / pictures[7].name)
    other = catalogue(tmp_path, 120, seed=1)
    assert sha256_of(other.splits["train"]) != sha256_of(bar.splits["train"])


def test_a_damaged_catalogue_is_made_again(bar):
    whole = sha256_of(bar.splits["val"])
    bar.splits["val"].write_text("{}")
    catalogue(bar.origin.parent, 120)
    assert sha256_of(bar.splits["val"]) == whole


def test_no_item_picture_or_text_stands_in_two_splits(bar):
    splits = {s: load_split(p, bar.images) for s, p in bar.splits.items()}
    items = {s: {c.id: c for q in queries for c in q.candidates} for s, queries in splits.items()}
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not items[first].keys() & items[second].keys()
        assert not {c.text for c in items[first].values()} & {c.text for c in items[second].values()}
    hashes = {s: {sha256_of(c.image) for c in list(pool.values())[:200]} for s, pool in items.items()}
    assert not hashes["train"] & hashes["test"]


def test_each_modality_carries_information_of_its_own(bar):
    best = bar.facts
    for modality in MODALITIES:
        assert best["ndcg_random"] + 0.1 < best[f"best_ndcg_{modality}"] < 0.8
    pairs = [
        best["best_ndcg_image_text"],
        best["best_ndcg_image_attributes"],
        best["best_ndcg_text_attributes"],
    ]
    assert max(best[f"best_ndcg_{m}"] for m in MODALITIES) + 0.05 < min(pairs)
    assert max(pairs) + 0.05 < best["best_ndcg_all"] == 1.0
    v1 = summary(bar)["test"].ndcg_v1
    assert best["ndcg_random"] < v1 <= best["best_ndcg_text"] + 0.01


def test_known_truth_is_computed_not_claimed():
    hits = [
        [
            {"image": True, "text": True, "attributes": True},
            {"image": False, "text": False, "attributes": True},
        ]
    ]
    best = best_reachable(hits)
    assert best["best_ndcg_all"] == 1.0
    assert best["best_ndcg_attributes"] == best["ndcg_random"]


# ---------------------------------------------------------------- LETOR and the person's own data


def test_letor_lines_are_read_and_bad_ones_named(tmp_path):
    good = "2 qid:1 1:0.5 3:1\n0 qid:1 2:1\n1 qid:2 1:2\n0 qid:2 1:1 # a comment\n"
    for name in ("train.txt", "vali.txt", "test.txt"):
        (tmp_path / name).write_text(good)
    queries = load_letor(tmp_path / "train.txt", width=5)
    assert [q.features.shape for q in queries] == [(2, 5), (2, 5)]
    assert queries[0].features[0].tolist() == [0.5, 0, 1, 0, 0]
    for bad in ("9 qid:1 1:1", "1 1:1", "1 qid:1 0:1", "1 qid:1 1:nan", "1 qid:1 x:1"):
        (tmp_path / "vali.txt").write_text(good + bad + "\n")
        source, problems = read_letor(tmp_path)
        assert source is None
        assert problems[0].where == "vali.txt:5"


def test_the_best_single_feature_is_found_with_its_sign():
    from models.dataset import FeatureQuery

    rng = np.random.default_rng(1)
    queries = []
    for i in range(20):
        labels = rng.integers(0, 4, 10)
        noise = rng.normal(size=(10, 3)).astype(np.float32)
        noise[:, 1] = -labels
        queries.append(FeatureQuery(str(i), noise, labels))
    assert letor_v1(queries) == (1, -1)


@pytest.mark.data
def test_the_persons_data_is_loaded_honestly(shared_data, tmp_path):
    source = open_source(shared_data / "production_dataset" / "production_dataset.json", tmp_path)
    figures = summary(source)
    assert source.images is None
    assert sum(figure.queries for figure in figures.values()) == 120
    assert all(figure.ndcg_v1 == 1.0 for figure in figures.values())
    splits = {s: load_split(p, None) for s, p in source.splits.items()}
    texts = {s: {q.text for q in queries} for s, queries in splits.items()}
    assert not texts["train"] & texts["test"]
    first = splits["train"][0]
    assert set(first.candidates[0].attributes) == {"domain"}
    assert [c.relevance for c in first.candidates] != sorted(
        (c.relevance for c in first.candidates), reverse=True
    )


def test_a_repeated_query_stays_on_one_side():
    assert split_of("Professional  headshot") == split_of("professional headshot ")


@pytest.mark.data
def test_the_real_photos_pass(shared_data, tmp_path):
    source, problems = check_source(shared_data / "mm_grocery", tmp_path)
    assert problems == []
    assert source is not None
    assert summary(source)["test"].queries == 131
