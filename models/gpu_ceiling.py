"""What a device can do at most, and what one query of fusion training costs: both measured, for MFU."""

import copy

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.fusion import FusionNet
from models.losses import margin_loss
from nightshift.instant import boottime_s

SIDE, TIMES = 4096, 20
SIDE_ON_CPU, TIMES_ON_CPU = 512, 3


def ceiling_flops_per_s(device: str) -> float:
    """Return the floating-point operations per second of a large product of float32 matrices on this device."""
    side, times = (SIDE, TIMES) if device.startswith("cuda") else (SIDE_ON_CPU, TIMES_ON_CPU)
    left = torch.rand(side, side, device=device)
    product = left @ left
    float(product[0, 0])  # waits for the device
    began_s = boottime_s()
    for _ in range(times):
        product = left @ left
    float(product[0, 0])
    return 2.0 * side**3 * times / (boottime_s() - began_s)


def flops_per_query(network: FusionNet, candidates: int, margin: float) -> float:
    """Return the operations of one query's forward and backward pass, as torch counts them on a copy."""
    shape = network.shape
    alike = copy.deepcopy(network).cpu().eval()  # dropout would draw from the training's random numbers
    parts = {name: torch.ones(1, candidates, columns) for name, columns in shape.inputs().items()}
    relevance = torch.arange(candidates).remainder(3)[None]
    with FlopCounterMode(display=False) as counter:
        loss = margin_loss(alike(parts, torch.ones(1, shape.query)), relevance, margin)
        loss.backward()  # type: ignore[no-untyped-call]
    return float(counter.get_total_flops())
