"""The scoring of a fusion model as an ONNX graph, for a server without Python's torch.

Inputs: per modality the stored item sides, shape (candidates, width), and the packed search side,
shape (width,); output: scores, shape (candidates,). The item sides are in a bundle's `sides.npz`.
"""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from models.encoders import MODALITIES
from models.fusion_sum import Network

FILE = "fusion.onnx"
EXAMPLE = 30


class _Graph(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.read = network, [m for m in MODALITIES if network.item_widths(m)]
        self.sizes = network.search_widths()

    def forward(self, sides: tuple[Tensor, ...], search: Tensor) -> Tensor:
        names = sorted(self.sizes)
        parts = torch.split(search[None], [self.sizes[name] for name in names], dim=-1)
        item = {m: side[None] for m, side in zip(self.read, sides, strict=True)}
        return self.network.combine(item, dict(zip(names, parts, strict=True)))[0]


def export_onnx(network: Network, folder: Path) -> Path:
    """Return the ONNX file of this network's scoring, with any number of candidates."""
    graph = _Graph(network).eval()
    widths = [sum(width for _, width in network.item_widths(m)) for m in graph.read]
    sides = tuple(torch.zeros(EXAMPLE, width) for width in widths)
    search = torch.zeros(sum(graph.sizes.values()))
    candidates = torch.export.Dim("candidates", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            (sides, search),
            str(folder / FILE),
            input_names=[*graph.read, "search"],
            output_names=["scores"],
            dynamic_shapes=(tuple({0: candidates} for _ in sides), {}),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return folder / FILE
