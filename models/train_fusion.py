"""Fusion training (`python -m models.train_fusion`): read it top to bottom.

Frozen encoders run once; their vectors stay in memory. Each candidate of a query is scored once, and
every pair of different relevance enters the margin loss. The learning rate falls along the share of
the stage that is used up, so that it is annealed wherever the deadline is.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from models.data import load_split
from models.encoders import Encoders, choose, has_pictures
from models.fusion import FusionNet, load_network, new_network, save_model
from models.fusion_pools import Pools, make_pools, validate
from models.losses import margin_loss
from models.metrics import mean_ndcg
from models.settings import FusionSettings, read_settings
from nightshift.checkpoint import read_state
from nightshift.instant import boottime_s
from nightshift.trainer import TrainerRun, open_run

SAVE_RESERVE_S = 1.5
"""Real seconds kept at least for the last evaluation and checkpoint; twice what the latest took, if more."""
SAY_EVERY_S = 0.5
KEEP = 3
OPTIMIZER = "optimizer.safetensors"
SEARCH_SIDE = ("item_tower", "search_", "overlap_weight")
SEARCH_RATE = 10.0
"""The layers through which the search acts learn at this multiple of the plan's rate: at the rate itself
they stay undertrained after 20 epochs of 240 queries."""


def parameter_groups(network: FusionNet) -> list[dict[str, object]]:
    """Return AdamW's groups: the mission's layers, then the search side with its own factor of the rate."""
    named = list(network.named_parameters())
    mission = [parameter for name, parameter in named if not name.startswith(SEARCH_SIDE)]
    search = [parameter for name, parameter in named if name.startswith(SEARCH_SIDE)]
    return [{"params": mission, "factor": 1.0}, {"params": search, "factor": SEARCH_RATE}]


class Training:
    """One model on its way: network, optimiser, where it is, what it knows of itself."""

    def __init__(
        self, run: TrainerRun, settings: FusionSettings, encoders: Encoders, train: Pools, val: Pools
    ) -> None:
        self.run, self.settings, self.encoders, self.train, self.val = run, settings, encoders, train, val
        self.network = new_network(encoders, settings.width, settings.heads, settings.hidden, run.seed)
        self.step = self.epoch = 0
        if run.resume:
            self.network = load_network(run.resume)
        else:
            self.network.see(train.search_BQ.cpu(), {m: part.cpu() for m, part in train.parts.items()})
        self.network.to(run.device).train()
        self.optimizer = torch.optim.AdamW(parameter_groups(self.network), lr=settings.learning_rate)
        if run.resume:
            self._restore(run.resume)
        self.v1 = mean_ndcg([q.scores_v1() for q in val.queries], [q.relevance() for q in val.queries])
        self.losses: list[float] = []
        self.said_s = self.ending_s = 0.0

    @property
    def batches(self) -> int:
        """Optimiser steps per epoch."""
        return -(-len(self.train.queries) // self.settings.queries_per_batch)

    @property
    def total(self) -> int:
        """Queries to see in all, if time allows."""
        return len(self.train.queries) * self.settings.epochs

    def _restore(self, checkpoint: Path) -> None:
        state = read_state(checkpoint)
        self.step, self.epoch = int(str(state["step"])), int(str(state["epoch"]))
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in load_file(checkpoint / OPTIMIZER).items():
            number, name = key.split(".")
            moments.setdefault(int(number), {})[name] = tensor
        # load_state_dict puts each tensor on the device AdamW wants it on
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})

    def save(self, score: float) -> None:
        """Write a checkpoint of exactly these weights and forget old ones."""

        def write(folder: Path) -> None:
            save_model(folder, self.network, self.encoders)
            moments = self.optimizer.state_dict()["state"]
            tensors = {
                f"{n}.{k}": v.cpu().contiguous() for n, state in moments.items() for k, v in state.items()
            }
            save_file(tensors, folder / OPTIMIZER)

        self.run.phase("checkpoint")
        self.run.save(
            self.step, write, kind="fusion", selection_score=score, epoch=self.epoch, seed=self.run.seed,
            encoders=dict(self.encoders.choice.spoken), parameters=sum(p.numel() for p in self.network.parameters()),
        )  # fmt: skip
        forget_old(self.run.folder.checkpoints)

    def order(self) -> np.ndarray:
        """Return this epoch's order of queries: from (seed, epoch) alone, so that a resumed run repeats it."""
        return np.random.default_rng([self.run.seed, self.epoch]).permutation(len(self.train.queries))

    def step_once(self, rows: np.ndarray) -> float:
        """Return the loss of one optimiser step."""
        share = self.run.share(self.step, self.batches * self.settings.epochs)
        torch.manual_seed(self.run.seed * 1_000_003 + self.step)  # dropout, the same after a resume
        for group in self.optimizer.param_groups:
            rate = self.settings.learning_rate * self.run.lr_factor * max(0.02, 1 - share)
            group["lr"] = rate * group["factor"]
        self.optimizer.zero_grad(set_to_none=True)
        loss = sum(
            self.backward(rows[i : i + self.forward], rows.size) for i in range(0, rows.size, self.forward)
        )
        self.optimizer.step()
        self.step += 1
        return loss

    @property
    def forward(self) -> int:
        """Queries per forward pass: the batch, at most half of it after an out-of-memory restart."""
        size = self.settings.queries_per_batch
        return max(1, min(self.run.microbatch, size // 2)) if self.run.microbatch else size

    def backward(self, rows: np.ndarray, of: int) -> float:
        """Return these queries' part of the loss of a batch of `of`, its gradient accumulated."""
        parts, search_BQ, relevance_BC = self.train.batch(torch.from_numpy(rows).to(self.run.device))
        loss = margin_loss(self.network(parts, search_BQ), relevance_BC, self.settings.margin)
        part = loss * (len(rows) / of)
        part.backward()  # type: ignore[no-untyped-call]
        return float(part.detach())

    def say(self, force: bool = False) -> None:
        """Tell how far it is, at most twice a second."""
        now_s = boottime_s()
        if not force and now_s - self.said_s < SAY_EVERY_S:
            return
        self.said_s = now_s
        seen = min(self.total, self.step * self.settings.queries_per_batch)
        share = self.run.share(self.step, self.batches * self.settings.epochs)
        self.run.progress(self.step, samples=seen, total=self.total, share=share)
        if self.losses:
            self.run.metrics(self.step, loss=float(np.mean(self.losses)), epoch=float(self.epoch))
            self.losses = []

    def run_epoch(self) -> bool:
        """Return whether the epoch was completed before the time was over."""
        order, size = self.order(), self.settings.queries_per_batch
        for start in range((self.step % self.batches) * size, len(order), size):
            loss = self.step_once(order[start : start + size])
            if not np.isfinite(loss):
                raise FloatingPointError(f"the loss is not finite at step {self.step}")
            self.losses.append(loss)
            self.say()
            if self.run.should_stop(max(SAVE_RESERVE_S, 2 * self.ending_s)):
                return False
        self.epoch += 1
        return True

    def evaluate_and_save(self) -> None:
        """Score validation, tell it, and save."""
        began_s = boottime_s()
        self.run.phase("evaluate")
        score = validate(self.network, self.val)
        self.run.metrics(
            self.step,
            val_ndcg_at_10=score,
            val_ndcg_at_10_v1=self.v1,
            val_gain=score - self.v1,
            epoch=self.epoch,
        )
        self.save(score)
        self.ending_s = boottime_s() - began_s
        self.run.phase("train")


def forget_old(checkpoints: Path) -> None:
    """Remove checkpoints, except the last three and the one that validates best."""
    paths = sorted(checkpoints.glob("step-*"))
    best = max(paths, key=lambda path: float(str(read_state(path)["selection_score"])))
    for path in paths[:-KEEP]:
        if path != best:
            shutil.rmtree(path)


def train(run: TrainerRun, settings: FusionSettings) -> None:
    """Train until the epochs or the time are over; the last weights are always saved."""
    run.phase("load")
    images = run.inputs.get("images")
    train_queries, val_queries = (
        load_split(run.inputs["train"], images),
        load_split(run.inputs["val"], images),
    )
    texts = len(
        {t for q in [*train_queries, *val_queries] for t in (q.text, *(c.text for c in q.candidates))}
    )
    seconds = min(run.seconds_left(), 1e9)
    cache = run.inputs.get("cache")
    if run.resume:
        encoders = Encoders.load(run.resume, run.device, cache)
    else:
        choice = choose(
            settings.text_encoder, settings.vision_encoder, texts, seconds, has_pictures(train_queries)
        )
        encoders = Encoders.fit(choice, train_queries, run.device, cache)
    print("encoders:", dict(encoders.choice.spoken))
    training = Training(
        run, settings, encoders,
        make_pools(train_queries, encoders, run.device), make_pools(val_queries, encoders, run.device),
    )  # fmt: skip
    run.phase("train")
    if not run.resume:
        training.evaluate_and_save()
    saved_step = training.step
    while training.epoch < settings.epochs:
        whole = training.run_epoch()
        training.say(force=True)
        due = training.epoch % settings.evaluate_every == 0 or training.epoch == settings.epochs
        if (whole and due) or not whole:
            training.evaluate_and_save()
            saved_step = training.step
        if not whole:
            break
    if saved_step != training.step:
        training.evaluate_and_save()


def main() -> int:
    """Return the exit code of this trainer."""
    torch.set_num_threads(min(2, torch.get_num_threads()))
    run = open_run()
    settings = read_settings(FusionSettings, run.inputs.get("settings"))
    try:
        train(run, settings)
    except torch.OutOfMemoryError:
        run.out_of_memory()
    except FloatingPointError as error:
        print(f"train_fusion: {error}", file=sys.stderr)
        return 1
    run.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
