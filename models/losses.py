"""Pairwise losses over whole pools: every candidate is scored once, then pairs are formed from the labels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def margin_loss(scores_BC: "Tensor", relevance_BC: "Tensor", margin: float) -> "Tensor":
    """Return the mean margin ranking loss over the pairs of each query, then over queries.

    B queries, C candidates; a padded candidate has relevance -1. Pairs are (i, j) with
    relevance_i > relevance_j >= 0; equal to torch.nn.MarginRankingLoss over the same pairs.
    """
    import torch

    better_BCC = (relevance_BC[:, :, None] > relevance_BC[:, None, :]) & (relevance_BC[:, None, :] >= 0)
    hinge_BCC = torch.clamp(margin - (scores_BC[:, :, None] - scores_BC[:, None, :]), min=0)
    pairs_B = better_BCC.sum(dim=(1, 2))
    loss_B = (hinge_BCC * better_BCC).sum(dim=(1, 2)) / pairs_B.clamp(min=1)
    counted = pairs_B > 0
    return loss_B[counted].mean() if bool(counted.any()) else scores_BC.sum() * 0


def listwise_loss(scores_BC: "Tensor", relevance_BC: "Tensor") -> "Tensor":
    """Return the mean cross entropy between softmax(scores) and the gains 2^relevance - 1 made a distribution.

    B queries, C candidates; a padded candidate has relevance -1; queries without a relevant one are
    left out (ListNet's top-one loss, Cao et al. 2007).
    """
    import torch

    padded = relevance_BC < 0
    gains_BC = torch.where(relevance_BC > 0, torch.exp2(relevance_BC.float()) - 1, 0.0)
    counted = gains_BC.sum(dim=1) > 0
    logs_BC = torch.log_softmax(scores_BC.masked_fill(padded, -1e9), dim=1).masked_fill(padded, 0.0)
    target_BC = gains_BC / gains_BC.sum(dim=1, keepdim=True).clamp(min=1e-9)
    loss_B = -(target_BC * logs_BC).sum(dim=1)
    return loss_B[counted].mean() if bool(counted.any()) else scores_BC.sum() * 0


@dataclass(frozen=True)
class PairStatistics:
    """What one query's pairs say of its scores."""

    pairs: int
    loss: float
    """Mean of max(0, margin - difference)."""
    beyond_margin: float
    """Share of pairs whose difference exceeds the margin."""
    accuracy: float
    """Share of pairs in the right order; a tie counts one half."""


def pair_statistics(
    scores: NDArray[np.float64], relevance: NDArray[np.int64], margin: float
) -> PairStatistics:
    """Return the statistics over every pair (i, j) of one query with relevance_i > relevance_j."""
    better = relevance[:, None] > relevance[None, :]
    differences = (scores[:, None] - scores[None, :])[better]
    if differences.size == 0:
        return PairStatistics(0, 0.0, 0.0, 0.0)
    return PairStatistics(
        pairs=int(differences.size),
        loss=float(np.maximum(0.0, margin - differences).mean()),
        beyond_margin=float((differences > margin).mean()),
        accuracy=float(((differences > 0) + 0.5 * (differences == 0)).mean()),
    )
