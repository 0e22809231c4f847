"""The night's mirror in Weights & Biases: live with a key, written offline at its end without; it delays no stage.

`python -m tasks.mirror RUN_DIR` mirrors a running night until its report is written, in a process of its own: a wandb
that hangs or dies takes nothing with it.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

from nightshift.checkpoint import write_atomically
from nightshift.events import read_events
from nightshift.instant import boottime_s
from nightshift.rundir import RunDir
from tasks.launch import nightwatch_alive
from verdict.finding import read_verdict
from verdict.seal import read_seal

PROJECT = "computer-vision-breakthrough"
INIT_WITHIN_S = 20
LOOK_EVERY_S = 5.0
KEY = "WANDB_API_KEY"


def mirror_night(run: RunDir) -> str:
    """Return where the mirror of this finished night lies: a URL, a folder, or why there is none."""
    if run.mirror.is_file():
        return run.mirror.read_text()
    return _mirrored(run, live=False)


def mirror_live(run: RunDir) -> str:
    """Mirror a night while it runs; return where, or why not, which is kept for its report as well."""
    told = _mirrored(run, live=True)
    write_atomically(run.mirror, told)
    return told


def start_live_mirror(run: RunDir) -> None:
    """Start the mirror of a night that begins, where there is a key."""
    if not os.environ.get(KEY):
        return
    with run.nightwatch_log.open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "tasks.mirror", str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _mirrored(run: RunDir, live: bool) -> str:
    os.environ.setdefault("WANDB_SILENT", "true")
    try:
        import wandb
    except ImportError:
        return "not mirrored: wandb is not installed"
    seal = read_seal(run)
    online = os.environ.get("WANDB_MODE", "online") == "online" and bool(os.environ.get(KEY))
    try:
        mirror = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=f"{seal.night.name}-{seal.date}",
            mode="online" if online else "offline",
            dir=str(run.path),
            config={"night": seal.night.name, "speed": seal.speed, "data": seal.data.name, "seed": seal.seed},
            settings=wandb.Settings(init_timeout=INIT_WITHIN_S, console="off", disable_git=True),
        )
        where = str(mirror.url or mirror.dir)
        feed = _Feed(run, [stage.name for stage in seal.night.stages], mirror)
        if live:
            write_atomically(run.mirror, where)
            feed.follow()
        feed.take()
        _log_verdict(run, mirror)
        mirror.finish()
    except (wandb.errors.Error, OSError) as error:
        return f"not mirrored: {error}"
    return where


class _Feed:
    """What the trainers said, each metric logged once."""

    def __init__(self, run: RunDir, stages: list[str], mirror: object) -> None:
        self.run, self.mirror = run, mirror
        self.offsets = dict.fromkeys(stages, 0)

    def follow(self) -> None:
        """Take in what is said until the night's report is written, or nobody keeps the night any more."""
        never = threading.Event()
        begun_s = boottime_s()
        while not self.run.report_html.is_file():
            self.take()
            if boottime_s() - begun_s > INIT_WITHIN_S and not nightwatch_alive(self.run):
                return
            never.wait(LOOK_EVERY_S)

    def take(self) -> None:
        """Log what was said since the last time."""
        for stage, offset in self.offsets.items():
            events, self.offsets[stage] = read_events(self.run.stage(stage).events, offset)
            for event in events:
                if event.kind == "metrics" and event.values:
                    values = {f"{stage}/{name}": value for name, value in event.values.items()}
                    self.mirror.log({**values, f"{stage}/step": event.step})  # type: ignore[attr-defined]


def _log_verdict(run: RunDir, mirror: object) -> None:
    if not run.verdict.is_file():
        return
    verdict = read_verdict(run)
    summary = mirror.summary  # type: ignore[attr-defined]
    summary["word"] = str(verdict.word)
    for finding in verdict.criteria:
        summary[f"criterion/{finding.name}"] = str(finding.state)
        if finding.value is not None:
            summary[f"value/{finding.name}"] = finding.value


if __name__ == "__main__":
    print(f"mirror: {mirror_live(RunDir(Path(sys.argv[1])))}")
