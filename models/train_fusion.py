"""Fusion training (`python -m models.train_fusion`): read it top to bottom.

Frozen encoders run once; their vectors stay in memory. Without pretrained image weights a CNN is
trained first. Then the sealed seeds are trained one after another, each as the fusion ranker, as plain late
fusion (their sum is one more candidate) and as what else they must be compared with, for as long as the
stage lasts; the design is chosen on validation.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.data import load_split
from models.encoders import Encoders
from models.feature_sample import sample_of_pools, save_sample
from models.fusion_designs import (
    BOTH,
    FUSION,
    LATE,
    LONGER,
    TIMES_LONGER,
    Board,
    Floats,
    lower_bound,
    present_modalities,
)  # fmt: skip
from models.fusion_encoders import fitted_encoders
from models.fusion_floor import TOO_SMALL
from models.fusion_pools import Pools, make_pools, pool_ndcg
from models.fusion_steps import follow, share_pools
from models.fusion_sum import FusionSum, Network, load_network, load_single, save_model
from models.fusion_training import SAVE_RESERVE_S, Training
from models.settings import FusionSettings, read_settings
from models.stage_best import best_by_design
from models.team import Team, join_team
from nightshift.checkpoint import read_state, remove_checkpoint, step_of, whole_checkpoints
from nightshift.instant import boottime_s
from nightshift.trainer import TrainerRun, open_run

PERMUTATIONS = 10
COST = {LATE: 0.4, LONGER: float(TIMES_LONGER)}
"""What a design takes at most, beside fusion, before its first training has told."""


@dataclass
class Stage:
    """The stage at work: one training after another, and what is known of them."""

    run: TrainerRun
    settings: FusionSettings
    encoders: Encoders
    train: Pools
    val: Pools
    board: Board
    team: Team | None = None

    def trained(self) -> list[tuple[str, int]]:
        """Train what the board plans, as far as the stage lasts; return what was left out."""
        under_way = self._under_way()
        for seed in self.board.seeds:
            self._add_up(seed)
        while True:
            plan = [(d.name, s) for d, s in self.board.plan() if d.name in self._designs]
            pending: list[tuple[str, int]] = [
                (name, seed) for name, seed in plan if seed not in self.board.scores.get(name, {})
            ]
            resume = self.run.resume if under_way in pending else None
            fits = (
                pending if len(pending) == len(plan) else [one for one in pending if self._room_for(one[0])]
            )
            chosen = under_way if resume and under_way else next(iter(fits), None)
            if chosen is None:
                return [one for one in pending if one[0] != LONGER]
            began_s = boottime_s()
            planned = sum(name != LONGER for name, _ in plan)
            if not self._train(*chosen, len(plan) - len(pending), planned, resume):
                return [one for one in pending if one != chosen and one[0] != LONGER]
            under_way, name = None, chosen[0]
            took_s = self.board.took_s
            took_s[name] = max(took_s.get(name, 0.0), boottime_s() - began_s)
            self.board.write(self.run.folder.out)
            self._add_up(chosen[1])

    @property
    def _designs(self) -> tuple[str, ...]:
        """What may be trained; outside of a night there is no spare time."""
        return tuple(d for d in self.settings.designs if d != LONGER or self.run.deadline is not None)

    def _add_up(self, seed: int) -> None:
        """Save the sum of this seed's fusion and plain late fusion, once both are there."""
        best = best_by_design(whole_checkpoints(self.run.folder.checkpoints))
        parts = [best.get((name, seed)) for name in (FUSION, LATE)]
        known = all(seed in self.board.scores.get(name, {}) for name in (FUSION, LATE))
        if None in parts or not known or seed in self.board.scores.get(BOTH, {}):
            return
        network = FusionSum([load_single(path) for path in parts if path]).to(self.run.device)
        scores = pool_ndcg(network, self.val)
        if (BOTH, seed) not in best:
            self._save_sum(network, seed, float(np.nanmean(scores)))
        self.board.scores.setdefault(BOTH, {})[seed] = scores
        self.board.write(self.run.folder.out)

    def _save_sum(self, network: FusionSum, seed: int, score: float) -> None:
        self.run.phase("checkpoint")
        self.run.save(
            self._next_step(), lambda folder: save_model(folder, network.cpu(), self.encoders), kind="fusion",
            selection_score=score, seed=seed, design=BOTH,
            modalities=list(network.modalities), encoders=dict(self.encoders.choice.spoken),
            parameters=sum(p.numel() for p in network.parameters()),
        )  # fmt: skip
        self.run.phase("train")

    def _under_way(self) -> tuple[str, int] | None:
        if self.run.resume is None:
            return None
        state = read_state(self.run.resume)
        if "design" not in state:  # the pictures' network, no ranker yet
            return None
        return str(state["design"]), int(str(state["seed"]))

    def _room_for(self, name: str) -> bool:
        took_s = self.board.took_s
        known = {n: s / COST.get(n, 1.0) for n, s in took_s.items()}
        expected_s = took_s.get(name, max(known.values(), default=0.0) * COST.get(name, 1.0))
        return self.run.seconds_left() > 1.1 * expected_s + 2 * SAVE_RESERVE_S and not self.run.should_stop(0)

    def _next_step(self) -> int:
        steps = [int(str(read_state(p)["step"])) for p in whole_checkpoints(self.run.folder.checkpoints)]
        return max(steps, default=-1) + 1

    def _train(self, name: str, seed: int, number: int, of: int, resume: Path | None) -> bool:
        """Return whether one training came to its end; scored and on the board either way."""
        one = len(self.train.queries) * self.settings.epochs
        settings = self.settings
        if name == LONGER:
            settings = settings.model_copy(update={"epochs": TIMES_LONGER * settings.epochs})
            of = max(of, number + TIMES_LONGER)
        training = Training(
            self.run, settings, self.encoders, self.train, self.val, self.board.design(name), seed,
            base=self._next_step(), samples_before=number * one, samples_total=of * one,
            aloud=number == 0, resume=resume, team=self.team,
        )  # fmt: skip
        whole = training.to_the_end()
        if not whole and self.board.scores.get(name):
            self._forget(name, seed)  # half a training would speak for a seed
            return False
        best = best_by_design(whole_checkpoints(self.run.folder.checkpoints)).get((name, seed))
        network = load_network(best).to(self.run.device) if best else training.network
        self.board.scores.setdefault(name, {})[seed] = pool_ndcg(network, self.val)
        self.board.write(self.run.folder.out)
        if whole and name == FUSION and not self.board.drops and len(self.board.present) > 1:
            self.board.drops = self._drops(network)
        return whole

    def _forget(self, name: str, seed: int) -> None:
        for path in whole_checkpoints(self.run.folder.checkpoints):
            state = read_state(path)
            if (state.get("design"), state.get("seed")) == (name, seed):
                remove_checkpoint(path)

    def _drops(self, network: Network) -> dict[str, tuple[float, float]]:
        """Return per modality what permuting it across all candidates costs on validation."""
        self.run.phase("evaluate")
        rng, drops = np.random.default_rng([self.run.seed, 1]), {}
        intact = pool_ndcg(network, self.val)
        for modality in self.board.present:
            lost: list[Floats] = []
            while len(lost) < PERMUTATIONS:
                if self.run.should_stop(SAVE_RESERVE_S):
                    return {}
                items = dict(self.val.items)
                donors = torch.from_numpy(rng.permutation(len(items[modality]))).to(self.run.device)
                items[modality] = items[modality][donors]
                shuffled = Pools(
                    items, self.val.index_BC, self.val.search_BQ, self.val.relevance_BC, self.val.queries
                )
                lost.append(intact - pool_ndcg(network, shuffled))
            drops[modality] = lower_bound(np.mean(lost, axis=0))
        self.run.phase("train")
        return drops


def forget_other_branches(run: TrainerRun) -> None:
    """Remove checkpoints behind the one that is resumed: their numbers or their encoders are others."""
    last = step_of(run.resume) if run.resume else -1
    for path in whole_checkpoints(run.folder.checkpoints):
        if step_of(path) > last:
            remove_checkpoint(path)


def train(run: TrainerRun, settings: FusionSettings, team: Team | None = None) -> str:
    """Train until everything planned or the time is over; return why it ended before all was done, if so.

    The last weights are always saved.
    """
    run.phase("load")
    forget_other_branches(run)
    images, stage_s = run.inputs.get("images"), run.seconds_left()
    queries = {name: load_split(run.inputs[name], images) for name in ("train", "val")}
    encoders = fitted_encoders(run, settings, queries["train"], queries["val"])
    print("encoders:", dict(encoders.choice.spoken))
    pools = {name: make_pools(split, encoders, run.device) for name, split in queries.items()}
    save_sample(run.folder, sample_of_pools(pools["train"], run.nonce), run.nonce)
    seeds = run.seeds[:1] if settings.one_seed else run.seeds
    board = Board(present_modalities(queries["train"]), seeds)
    if run.resume:
        board.read(run.folder.out)
    run.phase("train")
    share_pools(pools["train"], team)
    stage = Stage(run, settings, encoders, pools["train"], pools["val"], board, team)
    left_out = stage.trained()
    if left_out:
        print("no time for:", ", ".join(f"{name} with seed {seed}" for name, seed in left_out))
    floor_s = board.took_s.get(FUSION)
    if floor_s is not None and floor_s < TOO_SMALL * stage_s < np.inf:
        print(
            f"TOO_SMALL: one training took {floor_s:.0f} s of {stage_s:.0f} s; the rest went to seeds and designs"
        )
    design, why = board.choose()
    print(f"chosen: {board.words(design)} ({why})")
    return f"no time for {len(left_out)} more trainings" if left_out else ""


def main() -> int:
    """Return the exit code of this trainer."""
    torch.set_num_threads(min(2, torch.get_num_threads()))
    run = open_run()
    settings = read_settings(FusionSettings, run.inputs.get("settings"))
    team = join_team(run.device)
    try:
        reason = follow(team) if team and team.rank else train(run, settings, team)
    except torch.OutOfMemoryError:
        run.out_of_memory()
    if team:
        team.end()
    run.finish(run.stop_reason or reason)
    return 0


if __name__ == "__main__":
    sys.exit(main())
