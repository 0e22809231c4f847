"""The night's mirror in Weights & Biases: online with a key, offline without; it never delays a stage."""

import os

from nightshift.events import read_events
from nightshift.rundir import RunDir
from verdict.finding import read_verdict
from verdict.seal import read_seal

PROJECT = "computer-vision-breakthrough"
INIT_WITHIN_S = 20


def mirror_night(run: RunDir) -> str:
    """Return where the mirror of this finished night lies: a URL, a folder, or why there is none."""
    os.environ.setdefault("WANDB_SILENT", "true")
    try:
        import wandb
    except ImportError:
        return "not mirrored: wandb is not installed"
    seal = read_seal(run)
    try:
        mirror = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=f"{seal.night.name}-{seal.date}",
            mode="online" if os.environ.get("WANDB_API_KEY") else "offline",
            dir=str(run.path),
            config={"night": seal.night.name, "speed": seal.speed, "data": seal.data.name, "seed": seal.seed},
            settings=wandb.Settings(init_timeout=INIT_WITHIN_S, console="off", disable_git=True),
        )
        _log_metrics(run, [stage.name for stage in seal.night.stages], mirror)
        _log_verdict(run, mirror)
        mirror.finish()
    except (wandb.errors.Error, OSError) as error:
        return f"not mirrored: {error}"
    return str(mirror.url or mirror.dir)


def _log_metrics(run: RunDir, stages: list[str], mirror: object) -> None:
    for stage in stages:
        events, _ = read_events(run.stage(stage).events)
        for event in events:
            if event.kind == "metrics" and event.values:
                values = {f"{stage}/{name}": value for name, value in event.values.items()}
                mirror.log({**values, f"{stage}/step": event.step})  # type: ignore[attr-defined]


def _log_verdict(run: RunDir, mirror: object) -> None:
    verdict = read_verdict(run)
    summary = mirror.summary  # type: ignore[attr-defined]
    summary["word"] = str(verdict.word)
    for finding in verdict.criteria:
        summary[f"criterion/{finding.name}"] = str(finding.state)
        if finding.value is not None:
            summary[f"value/{finding.name}"] = finding.value
