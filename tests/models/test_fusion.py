import numpy as np
import pytest
import torch

from models.data import load_split
from models.data_catalogue import catalogue
from models.encoder_choice import Choice
from models.encoders import Encoders
from models.fusion import new_network
from models.fusion_pools import make_pools, pool_ndcg
from models.fusion_scorer import FusionScorer, load_scorer
from models.fusion_sum import FusionSum, save_model
from models.losses import margin_loss, pair_statistics
from verdict.scored import permuted

OFFLINE = Choice(None, None, {"image": "hand-made", "text": "TF-IDF", "attributes": "words"})


@pytest.fixture(scope="module")
def bar(tmp_path_factory):
    return catalogue(tmp_path_factory.mktemp("cache"), 120)


@pytest.fixture(scope="module")
def queries(bar):
    return load_split(bar.splits["val"], bar.images)[:12]


@pytest.fixture(scope="module")
def model(queries):
    encoders = Encoders.fit(OFFLINE, queries, "cpu", None)
    network = new_network(encoders, width=64, hidden=32, seed=3)
    pools = make_pools(queries, encoders, "cpu")
    network.see(pools.search_BQ, pools.parts)
    return network, encoders, pools


def test_the_listwise_loss_is_torchs_margin_ranking_loss_over_all_pairs():
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(size=7), np.array([3, 0, 1, 1, 2, 0, 3])
    pairs = [(i, j) for i in range(7) for j in range(7) if labels[i] > labels[j]]
    first, second = (torch.tensor([scores[p[k]] for p in pairs]) for k in (0, 1))
    theirs = torch.nn.MarginRankingLoss(margin=0.1)(first, second, torch.ones(len(pairs)))
    padded = torch.tensor(np.append(scores, [9.0, -9.0]))[None]
    ours = margin_loss(padded, torch.tensor(np.append(labels, [-1, -1]))[None], 0.1)
    assert float(ours) == pytest.approx(float(theirs))
    assert pair_statistics(scores, labels, 0.1).loss == pytest.approx(float(theirs))


def test_a_constant_scorer_has_the_margin_as_its_loss_and_half_the_pairs():
    facts = pair_statistics(np.zeros(5), np.array([0, 1, 2, 3, 0]), 0.1)
    assert facts.loss == pytest.approx(0.1)
    assert facts.accuracy == 0.5


def test_the_same_seed_gives_the_same_network(model):
    _, encoders, _ = model
    one, two = (new_network(encoders, width=64, hidden=32, seed=5) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_the_search_matters(model):
    network, _, pools = model
    network.eval()
    straight = network(pools.parts, pools.search_BQ)
    other = network(pools.parts, pools.search_BQ.flip(0))
    assert not torch.allclose(straight, other)


def test_one_request_scores_as_the_batch_does_and_survives_a_checkpoint(model, queries, tmp_path):
    network, encoders, pools = model
    network.eval()
    with torch.inference_mode():
        expected = network(pools.parts, pools.search_BQ).numpy()
    save_model(tmp_path, network, encoders)
    scorer = load_scorer(tmp_path)
    requests = scorer.encode(queries)
    for row, (request, scores) in enumerate(zip(requests, scorer.score_many(requests), strict=True)):
        assert scores == pytest.approx(expected[row][: len(scores)], abs=1e-4)
        assert scorer.score(request) == pytest.approx(scores, abs=1e-6)
    assert not [p for p in tmp_path.iterdir() if p.suffix in (".pt", ".pkl", ".bin")]


def test_training_learns_and_each_modality_counts(queries):
    encoders = Encoders.fit(OFFLINE, queries, "cpu", None)
    network = new_network(encoders, width=64, hidden=32, seed=3)
    pools = make_pools(queries, encoders, "cpu")
    network.see(pools.search_BQ, pools.parts)
    before = float(np.nanmean(pool_ndcg(network, pools)))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(60):
        loss = margin_loss(network(pools.parts, pools.search_BQ), pools.relevance_BC, 0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = float(np.nanmean(pool_ndcg(network, pools)))
    assert after > max(0.9, before)
    scorer = FusionScorer(network, encoders, "cpu")
    intact = scorer.score_many(scorer.encode(queries))
    rng = np.random.default_rng(1)
    for modality in ("image", "text", "attributes"):
        changed = scorer.score_many(scorer.encode(permuted(queries, modality, rng)))
        assert not np.allclose(intact[0], changed[0])


def test_an_absent_picture_is_a_flag_and_never_noise(model, queries):
    _, encoders, _ = model
    from dataclasses import replace

    item = replace(queries[0].candidates[0], image=None)
    row = encoders.modality("image", [item])[0]
    assert row[-1] == 1.0
    assert not row[:-1].any()


def test_a_word_never_met_in_training_does_not_drown_the_search(model, queries):
    network, encoders, _ = model
    text = queries[0].text
    plain, noisy = (torch.from_numpy(encoders.texts([t])) for t in (text, f"{text} qzxv wvut kjhg"))
    one, two = (network.search_side(v)["gate"] for v in (plain, noisy))
    assert torch.nn.functional.cosine_similarity(one, two).item() > 0.99


def test_the_attention_is_torchs_multihead_attention_over_the_three_tokens(model):
    network, _, pools = model
    network.eval()
    width, names = network.shape.width, ("image", "text", "attributes")
    torchs = torch.nn.MultiheadAttention(width, network.shape.heads, batch_first=True)
    projections = (network.to_query, network.to_key, network.to_value)
    with torch.inference_mode():
        torchs.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        torchs.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
        torchs.out_proj.load_state_dict(network.out.state_dict())
        parts = {m: pools.parts[m] * network.get_buffer(f"seen_{m}") for m in names}
        tokens = torch.stack([network.norm(network.token[m](parts[m])) for m in names], dim=2).flatten(0, 1)
        expected = network.head(torchs(tokens[:, :1], tokens, tokens)[0][:, 0])
        silent = {n: torch.zeros_like(v) for n, v in network.search_side(pools.search_BQ).items()}
        ours = network.combine({m: network.item_side(m, pools.parts[m]) for m in names}, silent)
    assert torch.allclose(ours.flatten(), expected.flatten(), atol=1e-6)


def test_a_sum_scores_as_its_members_together_and_survives_a_checkpoint(model, queries, tmp_path):
    one, encoders, pools = model
    two = new_network(encoders, width=64, hidden=32, seed=9, attention=False)
    two.see(pools.search_BQ, pools.parts)
    both = FusionSum([one.eval(), two.eval()])
    with torch.inference_mode():
        expected = (one(pools.parts, pools.search_BQ) + two(pools.parts, pools.search_BQ)).numpy()
    save_model(tmp_path, both, encoders)
    scorer = load_scorer(tmp_path)
    requests = scorer.encode(queries)
    for row, request in enumerate(requests):
        scores = scorer.score(request)
        assert scores == pytest.approx(expected[row][: len(scores)], abs=1e-4)
    words = sum(request.parts["text"].shape[1] for request in requests[:1])
    assert words < sum(w for net in (one, two) for _, w in net.item_widths("text"))


def test_members_of_a_sum_must_read_the_same(model):
    one, encoders, _ = model
    blind = new_network(encoders, width=64, hidden=32, seed=9, modalities=("text",))
    with pytest.raises(ValueError, match="same modalities"):
        FusionSum([one, blind])
