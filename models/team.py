"""Several processes that train one network (torchrun): rank 0 leads, the others compute the share it asks of them.

The leader alone reads data, evaluates, saves and speaks; followers get pools and network from it, and take every
optimiser step with it. Gradients are averaged by DistributedDataParallel: gloo on CPUs, NCCL on GPUs.
"""

import os
from datetime import timedelta

import torch
from torch import distributed

from models.fusion import FusionNet

PATIENCE = timedelta(days=2)
"""How long followers wait for the leader: it may evaluate for hours, and torchrun ends them where it dies."""


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
