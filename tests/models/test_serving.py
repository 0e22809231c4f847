import subprocess
import sys
import textwrap

import numpy as np
import onnxruntime
import pytest

from models.candidates import StaticEncoder, corpus_of, item_text, train_tokenizer
from models.data import load_split
from models.data_catalogue import catalogue
from models.dataset import Candidate
from models.encoder_choice import Choice
from models.encoders import MODALITIES, Encoders
from models.fusion import new_network
from models.fusion_pools import make_pools
from models.fusion_scorer import load_scorer
from models.fusion_sum import FusionSum, save_model
from models.serving import DEPTH, Scorer
from models.serving_onnx import export_onnx
from nightshift.states import NightError


@pytest.fixture(scope="module", params=[False, True], ids=["one ranker", "a sum"])
def bundle(request, tmp_path_factory):
    bar = catalogue(tmp_path_factory.mktemp("cache"), 120)
    queries = load_split(bar.splits["val"], bar.images)[:12]
    encoders = Encoders.fit(Choice(None, None, {"text": "TF-IDF"}), queries, "cpu", None)
    network = new_network(encoders, 3, width=64, hidden=32)
    pools = make_pools(queries, encoders, "cpu")
    network.see(pools.search_BQ, pools.items)
    if request.param:
        late = new_network(encoders, 4, width=64, hidden=32, attention=False)
        late.see(pools.search_BQ, pools.items)
        network = FusionSum([network, late])
    checkpoint = tmp_path_factory.mktemp("fusion")
    save_model(checkpoint, network, encoders)
    (checkpoint / "optimizer.safetensors").write_bytes(b"not for serving")
    items = corpus_of(queries)
    tokenizer = train_tokenizer([item_text(item) for item in items] + [q.text for q in queries])
    rng = np.random.default_rng(1)
    generator = StaticEncoder(tokenizer, rng.normal(size=(tokenizer.get_vocab_size(), 32)).astype(np.float32))
    built = Scorer.build(generator, items, load_scorer(checkpoint))
    folder = tmp_path_factory.mktemp("bundle") / "serving"
    built.save(folder, checkpoint, None, {"night": "candidates"})
    return built, folder, queries, network


def test_a_loaded_bundle_searches_as_the_one_that_was_saved(bundle):
    built, folder, queries, _ = bundle
    loaded = Scorer.load(folder)
    for query in queries[:3]:
        one, two = built.search(query.text, 12), loaded.search(query.text, 12)
        assert [hit.id for hit in one] == [hit.id for hit in two]
        assert [hit.score for hit in one] == pytest.approx([hit.score for hit in two], abs=1e-5)
        assert [hit.score for hit in two] == sorted((hit.score for hit in two), reverse=True)
    assert not list(folder.rglob("optimizer.safetensors"))


def test_the_top_is_what_fusion_says_of_the_nearest_candidates(bundle):
    built, _, queries, _ = bundle
    text = queries[0].text
    vectors = built.generator.encode_items(built.items)
    near = np.argsort(-(vectors @ built.generator.encode_queries([text])[0]), kind="stable")[:DEPTH]
    pool = tuple(built.items[row] for row in near)
    scores = built.fusion.score(built.fusion.encode([type(queries[0])("q", text, pool)])[0])
    expected = [pool[i].id for i in np.argsort(-scores, kind="stable")]
    assert [hit.id for hit in built.search(text, DEPTH)] == expected


def test_an_item_may_hold_any_line_separator_and_searches_are_not_remembered(bundle, tmp_path):
    built, _, queries, _ = bundle
    odd = Candidate("odd", "first\u2028second\x85third", 0, 0.0)
    again = Scorer.build(built.generator, [*built.items[:40], odd], None)
    again.save(tmp_path / "b", None, None, {})
    assert Scorer.load(tmp_path / "b").items[-1].text == odd.text
    before = len(built.fusion._encoders._words)
    for number in range(5):
        built.search(f"{queries[0].text} {number}")
    assert len(built.fusion._encoders._words) == before


def test_more_than_the_depth_keeps_the_order_of_the_index_behind(bundle):
    built, _, queries, _ = bundle
    hits = built.search(queries[0].text, DEPTH + 5)
    assert len({hit.id for hit in hits}) == DEPTH + 5
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_onnx_scores_as_torch_does_for_any_number_of_candidates(bundle, tmp_path):
    built, _, queries, network = bundle
    session = onnxruntime.InferenceSession(str(export_onnx(network, tmp_path)))
    for count in (1, 7, 30):
        request = built.fusion.encode(queries[:1])[0]
        parts = {m: request.parts[m][:count] for m in MODALITIES}
        scores = session.run(None, {**parts, "search": request.query})[0]
        expected = built.fusion.score(type(request)(parts, request.query))
        assert scores == pytest.approx(expected, abs=1e-5)


def test_a_bundle_loads_without_prefect_or_the_nights_own_code(bundle):
    _, folder, queries, _ = bundle
    code = f"""
        import sys
        from models.serving import Scorer
        hits = Scorer.load({str(folder)!r}).search({queries[0].text!r}, k=3)
        loaded = {{name.split(".")[0] for name in sys.modules}}
        assert not loaded & {{"prefect", "flows", "tasks", "verdict", "schedules"}}, loaded
        print(len(hits))
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, cwd=folder, check=False,
    )  # fmt: skip
    assert answer.stdout.strip() == "3", answer.stderr


@pytest.mark.parametrize("name", ["serving.json", "items.jsonl", "index.faiss", "sides.npz"])
def test_a_bundle_with_a_missing_piece_says_what_to_do(bundle, tmp_path, name):
    built, _, _, _ = bundle
    built.save(tmp_path / "b", None, None, {})
    (tmp_path / "b" / name).unlink()
    with pytest.raises(NightError, match="take it again from the hand-over"):
        Scorer.load(tmp_path / "b")
