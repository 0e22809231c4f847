"""A fusion stage at work: one training after another, each chosen by what is known so far and by what fits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.encoders import Encoders
from models.fusion_apart import Grown, Job, Others, rounds, shared_out
from models.fusion_designs import BOTH, FUSION, LATE, LONGER, TIMES_LONGER, Board
from models.fusion_drops import permutation_drops
from models.fusion_pools import Pools, pool_ndcg
from models.fusion_sum import FusionSum, Network, load_network, load_single, save_model
from models.fusion_training import OPTIMIZER, SAVE_RESERVE_S, Training
from models.settings import FusionSettings
from models.stage_best import Key, best_by_design, key_of
from models.team import Team
from nightshift.checkpoint import read_state, remove_checkpoint, whole_checkpoints
from nightshift.instant import boottime_s
from nightshift.trainer import TrainerRun

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
    """Trains every network together with this process."""
    others: Others | None = None
    """Train one of their own beside it."""
    grown: Sequence[Grown] = ()
    """What the others have trained in the latest round."""
    keeping_s: float = 0.0
    """Longest time that it took to keep one of those."""

    def trained(self) -> list[Key]:
        """Train what the board plans, as far as the stage lasts; return what was left out."""
        under_way = self._under_way()
        for seed in self.board.seeds:
            self._add_up(seed)
        while True:
            self._know_drops()
            plan = [(d.name, s) for d, s in self.board.plan() if d.name in self._designs]
            pending = [one for one in plan if not self._scored(one)]
            resume = self.run.resume if under_way in pending else None
            fits = (
                pending if len(pending) == len(plan) else [one for one in pending if self._room_for(one[0])]
            )
            begun = self.others.begun if self.others else {}
            theirs = [one for one in begun.values() if one in pending]
            mine = [one for one in fits if one not in theirs]
            chosen = under_way if resume and under_way else next(iter(mine), None)
            if not chosen and not theirs:
                return [one for one in pending if one[0] != LONGER]
            self._ask_others([*mine, *theirs], chosen)
            whole = self._train(*chosen, plan, pending, resume) if chosen else self._wait()
            self._keep_others()
            if not whole:
                return [
                    one for one in pending if one != chosen and one[0] != LONGER and not self._scored(one)
                ]
            under_way = None
            if chosen:
                self._add_up(chosen[1])

    def _scored(self, one: Key) -> bool:
        return one[1] in self.board.scores.get(one[0], {})

    def _note_time(self, name: str, seconds: float) -> None:
        self.board.took_s[name] = max(self.board.took_s.get(name, 0.0), seconds)

    def _ask_others(self, fits: Sequence[Key], chosen: Key | None) -> None:
        """Have every other process train something else at the same time."""
        if self.others:
            first = not self.board.scores
            keys = shared_out(fits, chosen, self.others.begun, self.others.team.size, first)
            self.others.ask(
                {r: Job(self.board.design(n), s, self._settings(n)) for r, (n, s) in keys.items()}
            )

    def _keep_others(self) -> None:
        """Score and save what the others have trained meanwhile, as far as there is time."""
        for one in self.grown:
            began_s, (name, seed) = boottime_s(), one.job.key
            if self._scored(one.job.key) or not self._time_to_keep():
                continue
            network = load_single(one.checkpoint).to(self.run.device)
            scores = pool_ndcg(network, self.val)
            self._save_made(network, name, seed, float(np.nanmean(scores)))
            self.board.scores.setdefault(name, {})[seed] = scores
            self._note_time(name, one.took_s)
            self.board.write(self.run.folder.out)
            self.keeping_s = max(self.keeping_s, boottime_s() - began_s)
            if self._time_to_keep():
                self._add_up(seed)

    def _time_to_keep(self) -> bool:
        return self.run.seconds_left() > max(SAVE_RESERVE_S, 2 * self.keeping_s)

    @property
    def _designs(self) -> tuple[str, ...]:
        """What may be trained; outside of a night there is no spare time."""
        return tuple(d for d in self.settings.designs if d != LONGER or self.run.deadline is not None)

    def _add_up(self, seed: int) -> None:
        """Save the sum of this seed's fusion and plain late fusion, once both are there."""
        if not (self._scored((FUSION, seed)) and self._scored((LATE, seed))) or self._scored((BOTH, seed)):
            return
        best = best_by_design(whole_checkpoints(self.run.folder.checkpoints))
        parts = [best.get((name, seed)) for name in (FUSION, LATE)]
        if None in parts:
            return
        network = FusionSum([load_single(path) for path in parts if path]).to(self.run.device)
        scores = pool_ndcg(network, self.val)
        if (BOTH, seed) not in best:
            self._save_made(network, BOTH, seed, float(np.nanmean(scores)))
        self.board.scores.setdefault(BOTH, {})[seed] = scores
        self.board.write(self.run.folder.out)

    def _save_made(self, network: Network, name: str, seed: int, score: float) -> None:
        """Save a network that this process has not trained step by step: nothing to go on from, whole as it is."""
        self.run.phase("checkpoint")
        self.run.save(
            self._next_step(), lambda folder: save_model(folder, network.cpu(), self.encoders), kind="fusion",
            selection_score=score, seed=seed, design=name,
            modalities=list(network.modalities), encoders=dict(self.encoders.choice.spoken),
            parameters=sum(p.numel() for p in network.parameters()),
        )  # fmt: skip
        self.run.phase("train")

    def _under_way(self) -> Key | None:
        if self.run.resume is None or not (self.run.resume / OPTIMIZER).exists():
            return None  # nothing, the pictures' network, or what was not trained here
        return key_of(read_state(self.run.resume))

    def _room_for(self, name: str) -> bool:
        took_s = self.board.took_s
        known = {n: s / COST.get(n, 1.0) for n, s in took_s.items()}
        expected_s = took_s.get(name, max(known.values(), default=0.0) * COST.get(name, 1.0))
        return self.run.seconds_left() > 1.1 * expected_s + 2 * SAVE_RESERVE_S and not self.run.should_stop(0)

    def _next_step(self) -> int:
        steps = [int(str(read_state(p)["step"])) for p in whole_checkpoints(self.run.folder.checkpoints)]
        return max(steps, default=-1) + 1

    def _settings(self, name: str) -> FusionSettings:
        times = TIMES_LONGER if name == LONGER else 1
        return self.settings.model_copy(update={"epochs": times * self.settings.epochs})

    def _wait(self) -> bool:
        """Let the others end what they had begun where nothing else is left to do."""
        self.grown = self.others.grown() if self.others else ()
        return True

    def _train(
        self, name: str, seed: int, plan: Sequence[Key], pending: Sequence[Key], resume: Path | None
    ) -> bool:
        """Return whether one training came to its end; scored and on the board either way.

        What is told of progress is this process's own part: one training of every round.
        """
        began_s, ranks = boottime_s(), self.others.team.size if self.others else 1
        one = len(self.train.queries) * self.settings.epochs
        number = rounds(plan, ranks, True) - rounds(pending, ranks, not self.board.scores)
        of = rounds([key for key in plan if key[0] != LONGER], ranks, True)
        training = Training(
            self.run, self._settings(name), self.encoders, self.train, self.val, self.board.design(name), seed,
            base=self._next_step(), samples_before=number * one,
            samples_total=max(of, number + (TIMES_LONGER if name == LONGER else 1)) * one,
            aloud=len(pending) == len(plan), resume=resume, team=self.team,
        )  # fmt: skip
        whole, took_s = training.to_the_end(), boottime_s() - began_s
        # Whoever waits in vain for a process that has died must not have noted half a training as a whole one.
        self.grown = self.others.grown() if self.others else ()
        if not whole and self.board.scores.get(name):
            self._forget(name, seed)  # half a training would speak for a seed
            return False
        best = best_by_design(whole_checkpoints(self.run.folder.checkpoints)).get((name, seed))
        network = load_network(best).to(self.run.device) if best else training.network
        self.board.scores.setdefault(name, {})[seed] = pool_ndcg(network, self.val)
        if whole:
            self._note_time(name, took_s)
        self.board.write(self.run.folder.out)
        return whole

    def _know_drops(self) -> None:
        """Find out what each modality is worth to the first fusion network, once there is one."""
        seeds = self.board.scores.get(FUSION, {})
        if self.board.drops or len(self.board.present) == 1 or not seeds:
            return
        best = best_by_design(whole_checkpoints(self.run.folder.checkpoints))
        paths = [best[FUSION, seed] for seed in seeds if (FUSION, seed) in best]
        if paths:
            network = load_network(paths[0]).to(self.run.device)
            self.board.drops = permutation_drops(self.run, network, self.val, self.board.present)
            self.board.write(self.run.folder.out)

    def _forget(self, name: str, seed: int) -> None:
        for path in whole_checkpoints(self.run.folder.checkpoints):
            if key_of(read_state(path)) == (name, seed):
                remove_checkpoint(path)
