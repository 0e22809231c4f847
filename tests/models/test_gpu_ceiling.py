"""Measured ceiling and counted operations: of the size that arithmetic says, and without a trace in the training."""

import torch

from models.fusion import FusionNet, FusionShape
from models.gpu_ceiling import ceiling_flops_per_s, flops_per_query


def test_a_query_costs_six_operations_a_weight_and_candidate_at_least():
    shape = FusionShape(100, 100, 100, 100, width=512, heads=8, hidden=256, skip=False)
    network = FusionNet(shape, 50)
    projections = sum(p.numel() for name, p in network.named_parameters() if p.dim() == 2)
    told = flops_per_query(network, candidates=30, margin=0.1)
    assert 4 * 30 * projections < told < 60 * 30 * projections
    assert 1.9 < flops_per_query(network, 60, 0.1) / told < 2.1


def test_counting_leaves_no_trace():
    network = FusionNet(FusionShape(20, 20, 20, 20, width=64, heads=8, hidden=16), 8)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    flops_per_query(network, 6, 0.1)
    assert torch.rand(1) == expected
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_ceiling_is_a_rate_of_this_machine():
    assert 1e8 < ceiling_flops_per_s("cpu") < 1e14
