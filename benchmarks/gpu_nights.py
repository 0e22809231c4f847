"""Whole rehearsed nights under a fake driver: busy, idle, a sampler that is killed again and again, a lost GPU.

`python -m benchmarks.gpu_nights [--speed 200]`. Four fusion nights on built-in data, each with real processes; only
`libnvidia-ml.so.1` is the tests' own. Says how the judge answered for the GPU's utilisation, and whether the night was
handed over in time.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import sleep
from zoneinfo import ZoneInfo

from benchmarks.record import keep
from nightshift.instant import parse_utc
from nightshift.rundir import RunDir
from nightshift.states import Metric
from tasks.handoff import read_handoff
from tasks.night_status import NightStatus, read_status
from tests.tasks.fake_nvml import FakeNvml
from verdict.finding import read_verdict
from verdict.ledger import read_ledger
from verdict.seal import read_seal

LOSES_AT = 2
"""Hour of the night at which the GPU falls off."""
Meddle = Callable[[NightStatus, RunDir, FakeNvml], None]


def _leave(_status: NightStatus, _run: RunDir, _driver: FakeNvml) -> None:
    return


def _kill_sampler(_status: NightStatus, run: RunDir, _driver: FakeNvml) -> None:
    found = subprocess.run(
        ["pgrep", "-f", f"tasks.gpu_sampler {run.path}"], capture_output=True, text=True, check=False
    )
    for pid in found.stdout.split():
        os.kill(int(pid), signal.SIGKILL)


def _lose_at_two(status: NightStatus, run: RunDir, driver: FakeNvml) -> None:
    now = parse_utc(status.now).astimezone(ZoneInfo(read_seal(run).timezone))
    if now.hour == LOSES_AT:
        driver.set(lost=1)


CASES: dict[str, tuple[float, Meddle]] = {
    "92 % busy": (92, _leave),
    "60 % busy": (60, _leave),
    "sampler killed all night": (92, _kill_sampler),
    "GPU lost at 02:00": (92, _lose_at_two),
}


def one_night(name: str, speed: float, folder: Path) -> dict[str, object]:
    """Return how this night ended."""
    busy, meddle = CASES[name]
    driver = FakeNvml.build(folder, utilisation=busy, power_mw=65_000, sm=70)
    command = [sys.executable, "-m", "flows.cli.app", "rehearse", "fusion", "--speed", f"{speed:g}", "--json"]
    environment = os.environ | driver.environment | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with (folder / "out.json").open("w") as out, (folder / "err.txt").open("w") as err:
        night = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err)
        while night.poll() is None:
            sleep(0.5)
            runs = [RunDir(path.parent) for path in folder.glob("runs/*/fusion/status.json")]
            status = read_status(runs[0].status) if runs else None
            if status and not status.handed_over_at:
                meddle(status, runs[0], driver)
    [run] = [RunDir(path.parent) for path in folder.glob("runs/*/fusion/status.json")]
    return {"night": name} | _came_of(run)


def _came_of(run: RunDir) -> dict[str, object]:
    verdict, handoff = read_verdict(run), read_handoff(run)
    found = next(f for f in verdict.criteria if f.name == Metric.GPU_UTILISATION_PCT)
    kinds = [entry.kind for entry in read_ledger(run.ledger, read_seal(run).nonce)]
    use = json.loads(run.report_json.read_text())["gpu_use"]
    return {
        "word": str(verdict.word),
        "handed over": f"{parse_utc(read_status(run.status).handed_over_at):%H:%M} UTC"
        if handoff
        else "never",
        "on time": bool(handoff and handoff.on_time),
        "utilisation": str(found.state),
        "why": use.get("likely_cause") or found.reason,
        "sampler restarts": kinds.count("sampler-restarted"),
        "lost": "gpu-lost" in kinds,
    }


def main() -> None:
    """Run, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speed", type=float, default=200.0)
    asked = parser.parse_args()
    rows = []
    for name in CASES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(one_night(name, asked.speed, Path(folder)))
        print(rows[-1], flush=True)
    told = {row["night"]: row["utilisation"] for row in rows}
    keep(
        "gpu_nights",
        f"Four rehearsed fusion nights under a fake driver, speed {asked.speed:g}",
        rows,
        f"{told}; {sum(bool(row['on time']) for row in rows)} of {len(rows)} handed over on time",
        ("torch", "prefect"),
    )


if __name__ == "__main__":
    main()
