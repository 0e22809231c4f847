"""Optimiser steps of a fusion network, by one process or by a team of them: same batches, same dropout, same loss."""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.fusion import FusionNet, FusionShape
from models.fusion_pools import Pools
from models.losses import margin_loss
from models.optimizer_state import moments_of, restore_moments
from models.settings import FusionSettings
from models.team import Team

SEARCH_SIDE = ("item_tower", "search_", "overlap_weight")
SEARCH_RATE = 10.0
"""The layers through which the search acts learn at this multiple of the plan's rate: at the rate itself
they stay undertrained after 20 epochs of 240 queries."""
PIECES_APART = 1_000_000_007
"""Between the seeds of two pieces of a batch: each draws its own dropout."""
HEAD = 4
"""Numbers in front of a step's rows: how many rows, seed, rate, queries per forward pass."""
Rows = NDArray[np.int64]


def new_optimizer(network: FusionNet, rate: float) -> torch.optim.AdamW:
    """Return AdamW over the mission's layers, and the search side with its own factor of the rate."""
    named = list(network.named_parameters())
    mission = [parameter for name, parameter in named if not name.startswith(SEARCH_SIDE)]
    search = [parameter for name, parameter in named if name.startswith(SEARCH_SIDE)]
    groups = [{"params": mission, "factor": 1.0}, {"params": search, "factor": SEARCH_RATE}]
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def pieces(rows: Rows, rank: int, size: int, forward: int) -> list[tuple[int, Rows]]:
    """Return this process's part of a batch in forward passes, each with its number in the whole batch."""
    each = -(-rows.size // size)
    mine, before = rows[rank * each : (rank + 1) * each], rank * -(-each // forward)
    return [(before + i // forward, mine[i : i + forward]) for i in range(0, mine.size, forward)]


class Begun(NamedTuple):
    """A training that begins, or goes on, as the leader tells the others of it."""

    shape: FusionShape
    lexical: int
    state: dict[str, Tensor]
    moments: dict[str, Tensor]
    settings: FusionSettings


class Steps:
    """One training's optimiser steps."""

    def __init__(
        self, network: FusionNet, optimizer: torch.optim.AdamW, pools: Pools, settings: FusionSettings,
        team: Team | None = None,
    ) -> None:  # fmt: skip
        self.optimizer, self.pools, self.settings, self.team = optimizer, pools, settings, team
        self.through: nn.Module = team.wrapped(network) if team else network

    def gradient(self, rows: Rows, seed: int, rate: float, forward: int) -> float:
        """Return the loss of a batch, its gradient in the network, the optimiser at this rate.

        `seed`: of the dropout, the same after a resume. `forward`: queries per forward pass.
        """
        if self.team and self.team.rank == 0:
            self._tell(rows.size, seed, rate, forward, *rows)
        rank, size = (self.team.rank, self.team.size) if self.team else (0, 1)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimizer.zero_grad(set_to_none=True)
        mine, loss = pieces(rows, rank, size, forward), 0.0
        for number, piece in mine:
            torch.manual_seed(seed + number * PIECES_APART)
            with self._apart(piece is not mine[-1][1]):
                loss += self._backward(piece, piece.size / rows.size)
        if not mine:  # fewer queries than processes: all must take part in the average
            loss = self._backward(rows[:1], 0.0)
        return self.team.summed(loss) if self.team else loss

    def _backward(self, rows: Rows, weight: float) -> float:
        parts, search_BQ, relevance_BC = self.pools.batch(
            torch.from_numpy(rows).to(self.pools.index_BC.device)
        )
        part = margin_loss(self.through(parts, search_BQ), relevance_BC, self.settings.margin) * weight
        (part * self.team.size if self.team else part).backward()  # type: ignore[no-untyped-call]
        return float(part.detach())

    def _apart(self, more: bool) -> AbstractContextManager[None]:
        """Average the gradients of all processes at the last piece only."""
        return (
            self.through.no_sync()
            if more and isinstance(self.through, DistributedDataParallel)
            else nullcontext()
        )

    def _tell(self, *numbers: float) -> Tensor:
        """Return what the leader tells of the next step: given by it, nothing given and got by the others."""
        assert self.team
        told = torch.zeros(HEAD + self.settings.queries_per_batch, dtype=torch.float64)
        told[: len(numbers)] = torch.tensor(numbers, dtype=torch.float64)
        return self.team.tell_numbers(told)

    def over(self) -> None:
        """Say that no more steps of this training come."""
        if self.team:
            self._tell()

    def follow(self) -> None:
        """Take every step that the leader takes, until it says that no more come."""
        while count := int((told := self._tell())[0]):
            _, seed, rate, forward = told[:HEAD].tolist()
            rows = told[HEAD : HEAD + count].numpy().astype(np.int64)
            self.gradient(rows, int(seed), rate, int(forward))
            self.optimizer.step()


def begin(
    network: FusionNet, optimizer: torch.optim.AdamW, settings: FusionSettings, team: Team | None
) -> None:
    """Tell the others of a training that begins, or goes on."""
    if team:
        state = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
        team.tell(Begun(network.shape, network.lexical, state, moments_of(optimizer), settings))


def share_pools(pools: Pools, team: Team | None) -> None:
    """Give the others the training split, encoded."""
    if team:
        team.tell(pools.on("cpu"))


def follow(team: Team) -> str:
    """Take part in every training of the leader until it sends us home; return why it ended, as a trainer does."""
    told = team.tell(None)
    if not isinstance(told, Pools):
        return ""
    pools = told.on(team.device)
    while isinstance(begun := team.tell(None), Begun):
        network = FusionNet(begun.shape, begun.lexical)
        network.load_state_dict(begun.state)
        network.to(team.device).train()
        optimizer = new_optimizer(network, begun.settings.learning_rate)
        restore_moments(optimizer, begun.moments)
        Steps(network, optimizer, pools, begun.settings, team).follow()
    return ""
