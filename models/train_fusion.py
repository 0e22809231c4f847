"""Fusion training (`python -m models.train_fusion`): read it top to bottom.

Frozen encoders run once; their vectors stay in memory. Without pretrained image weights a CNN is
trained first. Then the sealed seeds are trained one after another, each as the fusion ranker, as plain late
fusion (their sum is one more candidate) and as what else they must be compared with, for as long as the
stage lasts; the design is chosen on validation. Several processes train one network together, or one each.
"""

import sys

import numpy as np
import torch

from models.data import load_split
from models.feature_sample import sample_of_pools, save_sample
from models.fusion_apart import Others, attend
from models.fusion_designs import FUSION, Board, present_modalities
from models.fusion_encoders import fitted_encoders
from models.fusion_floor import TOO_SMALL
from models.fusion_pools import make_pools
from models.fusion_stage import Stage
from models.fusion_steps import follow, share_pools
from models.settings import FusionSettings, read_settings
from models.stage_best import forget_other_branches
from models.team import Team, join_team
from nightshift.trainer import TrainerRun, open_run


def train(run: TrainerRun, settings: FusionSettings, team: Team | None = None) -> str:
    """Train until everything planned or the time is over; return why it ended before all was done, if so.

    The last weights are always saved.
    """
    run.phase("load")
    forget_other_branches(run.folder.checkpoints, run.resume)
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
    apart = settings.parallel == "seeds"
    others = Others.joined(run, team, pools["train"], pools["val"], encoders) if team and apart else None
    together = None if apart else team
    share_pools(pools["train"], together)
    run.phase("train")
    stage = Stage(run, settings, encoders, pools["train"], pools["val"], board, together, others)
    left_out = stage.trained()
    if others and not run.stop_asked:  # else they may go on
        others.end()
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
        if team and team.rank:
            reason = follow(team) if settings.parallel == "data" else attend(team, run)
        else:
            reason = train(run, settings, team)
    except torch.OutOfMemoryError:
        run.out_of_memory()
    if team:
        team.end()
    run.finish(run.stop_reason or reason)
    return 0


if __name__ == "__main__":
    sys.exit(main())
