"""The other members of a ranking ensemble: CatBoost's YetiRank, and a listwise network; one of each per fold.

Both are trained like the LightGBM members: on the rest of the training queries, stopped on the held-out
fold. Files are CatBoost's own binary format and safetensors, never pickle.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from models.metrics import mean_ndcg

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats = NDArray[np.float32]
Scores = NDArray[np.float64]
Labels = NDArray[np.int64]
YETI, NETWORK = "yetirank", "network"
PATIENCE, RATE, DEPTH = 50, 0.06, 6
WIDTH, EPOCHS, BATCH, PEAK_RATE, DECAY, DROPOUT = 128, 24, 8, 2e-3, 1e-2, 0.4
SLOPE = 1e-5


class Pools(Protocol):
    """What a member is trained on: feature matrices and labels, pool by pool."""

    @property
    def matrices(self) -> tuple[Floats, ...]:
        """Return one feature matrix per pool, shape (candidates, features)."""
        ...

    @property
    def relevance(self) -> tuple[Labels, ...]:
        """Return one array of labels per pool."""
        ...


class Part(Protocol):
    """Members of one kind."""

    kind: str

    def member_scores(self, number: int, rows: Floats) -> Scores:
        """Return one member's raw scores, shape (rows,)."""
        ...

    def scores(self, rows: Floats) -> Scores:
        """Return the members' mean raw scores, shape (rows,)."""
        ...

    def save(self, folder: Path) -> None:
        """Write every member."""
        ...


class YetiRank:
    """CatBoost members; for serving they are summed into one model, so that a pool costs one call."""

    kind = YETI

    def __init__(self, members: Sequence[object]) -> None:
        from catboost import sum_models

        self.members = list(members)
        self.sum = sum_models(self.members, weights=[1 / len(self.members)] * len(self.members))

    def member_scores(self, number: int, rows: Floats) -> Scores:
        """Return one member's raw scores, shape (rows,)."""
        return np.asarray(self.members[number].predict(rows), dtype=np.float64)  # type: ignore[attr-defined]

    def scores(self, rows: Floats) -> Scores:
        """Return the members' mean raw scores, shape (rows,)."""
        return np.asarray(self.sum.predict(rows, thread_count=1), dtype=np.float64)

    def save(self, folder: Path) -> None:
        """Write every member in CatBoost's binary format."""
        for number, member in enumerate(self.members):
            member.save_model(str(folder / f"{YETI}-{number}.cbm"))  # type: ignore[attr-defined]


class ListwiseNetworks:
    """Perceptrons of two hidden layers; trained with torch, scored with NumPy, all members at once.

    M members, R rows, F features, H hidden units.
    """

    kind = NETWORK

    def __init__(self, members: Sequence[dict[str, Floats]]) -> None:
        self.members = list(members)
        self._stacked = {
            name: np.ascontiguousarray(np.stack([one[name].T for one in self.members]))
            for name in (self.members[0] if self.members else ())
        }
        """Every member's weights below one another, matrices as (M, in, out)."""

    def member_scores(self, number: int, rows: Floats) -> Scores:
        """Return one member's raw scores, shape (rows,)."""
        return np.asarray(self._scores_MR(rows, slice(number, number + 1))[0])

    def scores(self, rows: Floats) -> Scores:
        """Return the members' mean raw scores, shape (rows,)."""
        return np.asarray(self._scores_MR(rows, slice(None)).mean(axis=0))

    def _scores_MR(self, rows: Floats, which: slice) -> Scores:
        weights = {name: values[which] for name, values in self._stacked.items()}
        x_MRF = squashed(rows, weights["mean"][:, None], weights["spread"][:, None])
        for layer in ("first", "second"):
            x_MRH = x_MRF @ weights[f"{layer}.weight"] + weights[f"{layer}.bias"][:, None]
            x_MRH -= x_MRH.mean(axis=2, keepdims=True)
            x_MRH /= np.sqrt(np.einsum("mrh,mrh->mr", x_MRH, x_MRH)[..., None] / x_MRH.shape[2] + SLOPE)
            x_MRH *= weights[f"{layer}_norm.weight"][:, None]
            x_MRF = np.maximum(x_MRH + weights[f"{layer}_norm.bias"][:, None], 0)
        scores_MR1 = x_MRF @ weights["last.weight"] + weights["last.bias"][:, None]
        return np.asarray(scores_MR1[..., 0], dtype=np.float64)

    def save(self, folder: Path) -> None:
        """Write every member as safetensors."""
        for number, weights in enumerate(self.members):
            save_file(weights, folder / f"{NETWORK}-{number}.safetensors")


def load_part(kind: str, members: int, folder: Path) -> Part:
    """Return the members of one kind from a checkpoint folder."""
    if kind == NETWORK:
        return ListwiseNetworks([load_file(folder / f"{NETWORK}-{at}.safetensors") for at in range(members)])
    from catboost import CatBoost

    return YetiRank([CatBoost().load_model(str(folder / f"{YETI}-{at}.cbm")) for at in range(members)])


def logged(rows: Floats) -> Floats:
    """Return sign(x) log(1 + |x|)."""
    return np.copysign(np.log1p(np.abs(rows)), rows)


def squashed(rows: Floats, mean: Floats, spread: Floats) -> Floats:
    """Return sign(x) log(1 + |x|), standardised and cut at +-4 spreads; what is missing becomes 0."""
    return np.nan_to_num(np.clip((logged(rows) - mean) * (1 / spread), -4, 4), copy=False).astype(np.float32)  # type: ignore[no-any-return]


def train_yetirank(
    pools: Pools, rest: Sequence[int], held: Sequence[int], rounds: int, seed: int, stop: Callable[[], bool]
) -> object:
    """Return one CatBoost member, stopped on its held-out queries or by `stop`, asked after every round."""
    from catboost import CatBoost, Pool

    def pool(chosen: Sequence[int]) -> Pool:
        sizes = [len(pools.relevance[at]) for at in chosen]
        return Pool(
            np.concatenate([pools.matrices[at] for at in chosen]),
            np.concatenate([pools.relevance[at] for at in chosen]),
            group_id=np.repeat(np.arange(len(sizes)), sizes),
        )

    def after_iteration(_info: object) -> bool:
        return not stop()

    model = CatBoost(
        {
            "loss_function": "YetiRank",
            "eval_metric": "NDCG:top=10;type=Exp",
            "iterations": rounds,
            "learning_rate": RATE,
            "depth": DEPTH,
            "random_seed": seed,
            "thread_count": 2,
            "allow_writing_files": False,
            "early_stopping_rounds": PATIENCE,
            "verbose": False,
        }
    )
    watch = SimpleNamespace(after_iteration=after_iteration)
    model.fit(pool(rest), eval_set=pool(held), callbacks=[watch])
    return model


def train_network(
    pools: Pools, rest: Sequence[int], held: Sequence[int], seed: int, stop: Callable[[], bool]
) -> dict[str, Floats]:
    """Return one network's weights at its best epoch on the held-out queries.

    Listwise softmax (ListNet, Cao et al. 2007), AdamW with linear decay; `stop` is asked every batch.
    """
    import torch
    from torch import nn

    from models.losses import listwise_loss

    with np.errstate(invalid="ignore"):
        rows = np.concatenate([pools.matrices[at] for at in rest])
        logs = logged(rows)
    mean = np.nan_to_num(np.nanmean(logs, axis=0)).astype(np.float32)
    spread = np.maximum(np.nan_to_num(np.nanstd(logs, axis=0)), 1e-6).astype(np.float32)
    inputs = [torch.from_numpy(squashed(pools.matrices[at], mean, spread)) for at in rest]
    labels = [torch.from_numpy(pools.relevance[at]) for at in rest]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.ModuleDict(
            {
                "first": nn.Linear(rows.shape[1], WIDTH), "first_norm": nn.LayerNorm(WIDTH, eps=SLOPE),
                "second": nn.Linear(WIDTH, WIDTH), "second_norm": nn.LayerNorm(WIDTH, eps=SLOPE),
                "last": nn.Linear(WIDTH, 1),
            }
        )  # fmt: skip
        optimizer = torch.optim.AdamW(net.parameters(), lr=PEAK_RATE, weight_decay=DECAY)
        best, kept = -np.inf, _weights(net, mean, spread)
        for epoch in range(EPOCHS):
            for group in optimizer.param_groups:
                group["lr"] = PEAK_RATE * (1 - epoch / EPOCHS)
            order = np.random.default_rng([seed, epoch]).permutation(len(rest))
            for start in range(0, len(order), BATCH):
                chosen = order[start : start + BATCH]
                padded = nn.utils.rnn.pad_sequence([inputs[row] for row in chosen], batch_first=True)
                grades = nn.utils.rnn.pad_sequence([labels[row] for row in chosen], True, -1)
                loss = listwise_loss(_forward(net, padded), grades)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                if stop():
                    return kept
            now = _weights(net, mean, spread)
            judged = ListwiseNetworks([now])
            score = mean_ndcg(
                [judged.scores(pools.matrices[at]) for at in held], [pools.relevance[at] for at in held]
            )
            if score > best:
                best, kept = score, now
    return kept


def _forward(net: "nn.ModuleDict", x: "Tensor") -> "Tensor":
    from torch import nn

    x = nn.functional.dropout(x, DROPOUT / 2)
    for layer in ("first", "second"):
        x = nn.functional.dropout(nn.functional.relu(net[f"{layer}_norm"](net[layer](x))), DROPOUT)
    scores: Tensor = net["last"](x)[..., 0]
    return scores


def _weights(net: object, mean: Floats, spread: Floats) -> dict[str, Floats]:
    state = net.state_dict()  # type: ignore[attr-defined]
    return {"mean": mean, "spread": spread} | {k: v.detach().numpy().copy() for k, v in state.items()}
