"""Several processes of one stage (torchrun): rank 0 leads, the others do what it asks of them.

The leader alone reads data, speaks, and keeps what is trained. Either all train one network: followers get pools and
network from it, take every optimiser step with it, and gradients are averaged by DistributedDataParallel (gloo on CPUs,
NCCL on GPUs). Or each trains one of its own (`models/fusion_apart.py`).
"""

import os
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

import torch
from torch import distributed

from models.fusion import FusionNet

PATIENCE = timedelta(days=2)
"""How long followers wait for the leader: it may evaluate for hours, and torchrun ends them where it dies."""
LOOK_EVERY_S = 0.05
"""Between two looks whether the others have come."""


class Team:
    """The processes of one torchrun."""

    def __init__(self, device: str) -> None:
        """Raises RuntimeError where the others do not come."""
        backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
        distributed.init_process_group(backend, timeout=PATIENCE)
        self.device = torch.device(device)
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()

    def tell(self, what: object) -> object:
        """Return what the leader tells: given by it, got by the others."""
        box = [what]
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def tell_numbers(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return the leader's numbers (a CPU tensor of one known shape, filled in place at the others)."""
        distributed.broadcast(numbers, src=0)
        return numbers

    def gathered(self, what: object) -> list[object]:
        """Return what each process gives, by rank."""
        box: list[object] = [None] * self.size
        distributed.all_gather_object(box, what)
        return box

    def arrived(self, mine: Sequence[float], meanwhile: Callable[[], None]) -> torch.Tensor:
        """Return every process's numbers, shape (size, numbers), once all have come; until then, do something."""
        table = torch.zeros(self.size, len(mine), dtype=torch.float64)
        table[self.rank] = torch.tensor(mine, dtype=torch.float64)
        work = distributed.all_reduce(table, async_op=True)
        while not work.is_completed():
            meanwhile()
            threading.Event().wait(LOOK_EVERY_S)
        work.wait()
        return table

    def summed(self, value: float) -> float:
        """Return the sum over all processes."""
        total = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(total)
        return float(total)

    def wrapped(self, network: FusionNet) -> torch.nn.Module:
        """Return the network as it is trained: its backward pass averages the gradients of all."""
        return torch.nn.parallel.DistributedDataParallel(
            network,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            broadcast_buffers=False,  # they never change
            find_unused_parameters=True,  # a modality that no item has
        )

    def end(self) -> None:
        """Send the others home (leader), and leave."""
        if self.rank == 0:
            self.tell(None)
        distributed.destroy_process_group()


def join_team(device: str) -> Team | None:
    """Return the team of this process, or None where torchrun did not start it."""
    return Team(device) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else None
