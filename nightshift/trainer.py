"""The contract in ten lines, for a trainer in any framework (standard library only).

    from nightshift.trainer import open_run

    run = open_run()                                   # reads the environment, says `started`
    model, first = load(run.resume) if run.resume else (new_model(run.seed), 0)
    for step in range(first, steps):
        share = run.share(step, steps)                 # 0..1: anneal the learning rate along it
        loss = train_one(model, lr=3e-4 * (1 - share) * run.lr_factor)
        run.progress(step, samples=step * 64, total=steps * 64, share=share)
        run.metrics(step, loss=loss)
        if run.should_stop():
            break
    run.save(step, model.write_to, selection_score=score)
    run.finish()

Outside of a night the same script runs with no deadline and writes to `./nightshift-run/`.
"""

import faulthandler
import json
import os
import signal
from pathlib import Path

from nightshift.instant import RehearsalTime, parse_utc
from nightshift.opened import audit_opens
from nightshift.rundir import StageDir
from nightshift.trainer_run import DEADLINE, SCHEMA, STOP_ASKED, TrainerRun

__all__ = ["DEADLINE", "SCHEMA", "STOP_ASKED", "TrainerRun", "beat", "open_run"]


def _path_from(name: str) -> Path | None:
    return Path(os.environ[name]) if os.environ.get(name) else None


def open_run(watched: bool = True) -> TrainerRun:
    """Return this trainer's run as the environment gives it, signals in place, `started` said.

    `watched`: the data files that this process opens are written down; a process that only starts another one, which
    cannot be watched, must not look as if it were.

    SIGTERM asks for a last checkpoint (`should_stop` becomes true); SIGUSR1 dumps every stack
    to stderr, also while the main thread sits in C code.

    In several processes (`nightshift/torchrun.py`) each has the GPU of its LOCAL_RANK; rank 0 alone speaks, saves and
    hears SIGTERM.
    """
    folder = StageDir(_path_from("NIGHT_RUN_DIR") or Path("nightshift-run"))
    folder.out.mkdir(parents=True, exist_ok=True)
    inputs_file = _path_from("NIGHT_INPUTS")
    inputs = json.loads(inputs_file.read_text()) if inputs_file else {}
    clock, deadline = os.environ.get("NIGHT_CLOCK"), os.environ.get("NIGHT_DEADLINE")
    microbatch = os.environ.get("NIGHT_MICROBATCH")
    seed = os.environ.get("NIGHT_SEED", "0")
    skip = os.environ.get("NIGHT_SKIP_STEP")
    rank, device = int(os.environ.get("RANK", "0")), os.environ.get("NIGHT_DEVICE", "cpu")
    if device.startswith("cuda") and "LOCAL_RANK" in os.environ:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    if inputs_file and watched:
        cache = [Path(inputs["cache"]) / "embeddings"] if "cache" in inputs else []
        audit_opens(folder.opened, (folder.path.parents[1], *cache))
    run = TrainerRun(
        folder=folder,
        seed=int(seed),
        seeds=tuple(int(one) for one in os.environ.get("NIGHT_SEEDS", seed).split(",")),
        nonce=os.environ.get("NIGHT_NONCE", ""),
        device=device,
        resume=_path_from("NIGHT_RESUME"),
        microbatch=int(microbatch) if microbatch else None,
        skip_step=int(skip) if skip else None,
        replay=_path_from("NIGHT_REPLAY"),
        second_sink=_path_from("NIGHT_SECOND_SINK"),
        rank=rank,
        rehearsal=RehearsalTime.parse(clock) if clock else None,
        deadline=parse_utc(deadline) if deadline else None,
        inputs={name: Path(path) for name, path in inputs.items()},
    )
    if not rank:
        signal.signal(signal.SIGTERM, run._on_term)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    run.read_control()
    run.started()
    _current.append(run)
    return run


_current: list[TrainerRun] = []
"""The run that this process has opened last, for loops that are far from whoever opened it."""


def beat() -> None:
    """Say that the training thread lives, from a loop that knows nothing of runs; nothing outside of a night."""
    if _current:
        _current[-1].beat()
