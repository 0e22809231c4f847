"""One fusion model on its way: network, optimiser, where it is, what it knows of itself."""

from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file

from models.encoders import Encoders
from models.fusion import new_network
from models.fusion_designs import Design
from models.fusion_pools import Pools, pool_ndcg
from models.fusion_steps import Steps, begin, new_optimizer
from models.fusion_sum import load_single, save_model
from models.gpu_ceiling import ceiling_flops_per_s, flops_per_query
from models.metrics import mean_ndcg
from models.optimizer_state import moments_of, restore_moments
from models.settings import FusionSettings
from models.share_log import SKIPPED, ShareLog
from models.stage_best import forget_old
from models.team import Team
from nightshift.checkpoint import read_state
from nightshift.instant import boottime_s
from nightshift.trainer import TrainerRun

SAVE_RESERVE_S = 1.5
"""Real seconds kept at least for the last evaluation and checkpoint; twice what the latest took, if more."""
SAY_EVERY_S, SAVE_EVERY_S = 0.5, 300.0
"""Real seconds between two words, and at most between two checkpoints: sqrt(2 x 20 h x 1 s), Young 1974."""
OPTIMIZER = "optimizer.safetensors"


class Training:
    """A design and a seed, trained from its beginning or from a checkpoint."""

    def __init__(
        self, run: TrainerRun, settings: FusionSettings, encoders: Encoders, train: Pools, val: Pools,
        design: Design, seed: int, base: int = 0, samples_before: int = 0, samples_total: int = 0,
        aloud: bool = True, resume: Path | None = None, team: Team | None = None,
    ) -> None:  # fmt: skip
        """`base` and `samples_before` are steps and queries of the trainings before this one.

        Only one training of a night is `aloud`: its loss and validation are the live view's. The others of a `team`
        take every step along.
        """
        self.run, self.settings, self.encoders, self.train, self.val = run, settings, encoders, train, val
        self.design, self.seed, self.base, self.aloud = design, seed, base, aloud
        self.samples_before = samples_before
        self.samples_total = samples_total or self.queries
        self.step = self.epoch = 0
        self.began_at = run.share(0, 1)
        if resume:
            self.network = load_single(resume)
        else:
            self.network = new_network(
                encoders, seed, width=settings.width, heads=settings.heads, hidden=settings.hidden,
                attention=design.attention, skip=design.skip, modalities=design.modalities,
            )  # fmt: skip
            self.network.see(train.search_BQ.cpu(), {m: rows.cpu() for m, rows in train.items.items()})
        self.shares = ShareLog(run.replay)
        self.network.to(run.device).train()
        self.optimizer = new_optimizer(self.network, settings.learning_rate)
        if resume:
            self._restore(resume)
        begin(self.network, self.optimizer, settings, team)
        self.steps = Steps(self.network, self.optimizer, train, settings, team)
        self.v1 = mean_ndcg([q.scores_v1() for q in val.queries], [q.relevance() for q in val.queries])
        self.losses: list[float] = []
        self.said_s = self.ending_s = 0.0
        self.saved_s = boottime_s()

    @property
    def batches(self) -> int:
        """Optimiser steps per epoch."""
        return -(-len(self.train.queries) // self.settings.queries_per_batch)

    @property
    def queries(self) -> int:
        """Queries to see in this training, if time allows."""
        return len(self.train.queries) * self.settings.epochs

    @property
    def share(self) -> float:
        """The used share of this training, 0..1: epochs done, or the stage's time since it began."""
        work = self.step / (self.batches * self.settings.epochs)
        time_left = max(1e-9, 1 - self.began_at)
        return min(1.0, max(work, (self.run.share(0, 1) - self.began_at) / time_left))

    def _restore(self, checkpoint: Path) -> None:
        state = read_state(checkpoint)
        self.base, self.began_at = int(str(state["base"])), float(str(state["began_at"]))
        self.step = int(str(state["step"])) - self.base
        self.epoch = self.step // self.batches  # also where it was cut right behind an epoch's last batch
        self.shares.restore(checkpoint)
        restore_moments(self.optimizer, load_file(checkpoint / OPTIMIZER))

    def save(self, score: float | None) -> None:
        """Write a checkpoint of exactly these weights and forget old ones; None: not scored, only to go on from."""

        def write(folder: Path) -> None:
            save_model(folder, self.network, self.encoders)
            save_file(moments_of(self.optimizer), folder / OPTIMIZER)
            self.shares.save(folder)

        self.run.phase("checkpoint")
        self.run.save(
            self.base + self.step, write, kind="fusion", selection_score=score, epoch=self.epoch,
            seed=self.seed, design=self.design.name, modalities=list(self.design.modalities), base=self.base,
            began_at=self.began_at, encoders=dict(self.encoders.choice.spoken),
            parameters=sum(p.numel() for p in self.network.parameters()),
        )  # fmt: skip
        forget_old(self.run.folder.checkpoints)
        self.saved_s = boottime_s()

    def order(self) -> np.ndarray:
        """Return this epoch's order of queries: from (seed, epoch) alone, so that a resumed run repeats it."""
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self.train.queries))

    def step_once(self, rows: np.ndarray) -> float:
        """Return the loss of one optimiser step; not a number where its data is passed over.

        Ends the process where the loss is not finite.
        """
        skip = self.base + self.step + 1 == self.run.skip_step
        share, factor = self.shares.next(SKIPPED if skip else self.share, self.run.lr_factor)
        if share == SKIPPED:
            self.step += 1
            return float("nan")
        rate = self.settings.learning_rate * factor * max(0.02, 1 - share)
        loss = self.steps.gradient(rows, self.seed * 1_000_003 + self.step, rate, self.forward)
        if not np.isfinite(loss):
            self.run.not_finite(self.base + self.step + 1)
        self.optimizer.step()
        self.step += 1
        return loss

    @property
    def forward(self) -> int:
        """Queries per forward pass: the batch, at most half of it after an out-of-memory restart."""
        size = self.settings.queries_per_batch
        return max(1, min(self.run.microbatch, size // 2)) if self.run.microbatch else size

    def say(self, force: bool = False) -> None:
        """Tell how far it is, at most twice a second."""
        now_s = boottime_s()
        if not force and now_s - self.said_s < SAY_EVERY_S:
            return
        self.said_s = now_s
        seen = min(self.queries, self.step * self.settings.queries_per_batch) + self.samples_before
        share = self.run.share(seen, self.samples_total)
        self.run.progress(self.base + self.step, samples=seen, total=self.samples_total, share=share)
        if self.losses and self.aloud:
            self.run.metrics(self.base + self.step, loss=float(np.mean(self.losses)), epoch=float(self.epoch))
        self.losses = []

    def run_epoch(self) -> bool:
        """Return whether the epoch was completed before the time was over."""
        order, size = self.order(), self.settings.queries_per_batch
        for start in range((self.step % self.batches) * size, len(order), size):
            loss = self.step_once(order[start : start + size])
            self.losses += [loss] if np.isfinite(loss) else []
            self.say()
            if boottime_s() - self.saved_s > SAVE_EVERY_S:
                self.save(None)
                self.run.phase("train")
            if self.shares.over or self.run.should_stop(max(SAVE_RESERVE_S, 2 * self.ending_s)):
                return False
        self.epoch += 1
        return True

    def evaluate_and_save(self) -> None:
        """Score validation, tell it, and save."""
        began_s = boottime_s()
        self.run.phase("evaluate")
        score = float(np.nanmean(pool_ndcg(self.network, self.val)))
        step, name = self.base + self.step, f"{self.design.name}_{self.seed}"
        if self.aloud:
            self.run.metrics(
                step, val_ndcg_at_10=score, val_ndcg_at_10_v1=self.v1, val_gain=score - self.v1, epoch=self.epoch
            )  # fmt: skip
        else:
            self.run.metrics(step, **{f"{name}_ndcg_at_10": score})
        self.save(score)
        self.ending_s = boottime_s() - began_s
        self.run.phase("train")

    def _say_device(self) -> None:
        """Say what a query costs and what the device can do, for the report's MFU."""
        candidates = self.train.index_BC.shape[1]
        self.run.device_facts(
            flops_per_sample=flops_per_query(self.network, candidates, self.settings.margin),
            ceiling_flops_per_s=ceiling_flops_per_s(self.run.device),
        )

    def to_the_end(self) -> bool:
        """Return whether every epoch was trained; the last weights are saved either way."""
        if self.step == 0:
            self.evaluate_and_save()
            if self.aloud and self.run.device.startswith("cuda"):
                self._say_device()
        saved = self.step
        whole = True
        while whole and self.epoch < self.settings.epochs:
            whole = self.run_epoch()
            self.say(force=True)
            due = self.epoch % self.settings.evaluate_every == 0 or self.epoch == self.settings.epochs
            if due or not whole:
                self.evaluate_and_save()
                saved = self.step
        if saved != self.step:
            self.evaluate_and_save()
        self.steps.over()
        return whole
