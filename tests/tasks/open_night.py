"""A small night that a test has opened, with what tests ask of it."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from small_night import make_data

from flows.request import request_for
from nightshift.events import read_events
from nightshift.rundir import RunDir
from tasks.launch import new_run, nightwatch_alive, open_night
from tasks.night_line import NightwatchGone, follow
from tasks.stage_standing import read_memory
from verdict.ledger import read_ledger
from verdict.seal import read_seal

STEPS = ("work", "judge", "hand-over", "report")


class OpenNight:
    """A night that a test has opened, and ends for certain."""

    def __init__(self, tmp_path: Path, plan: Path, night: str = "small", speed: float = 60.0):
        data = tmp_path / "data"
        data = data if data.exists() else make_data(data)
        home = tmp_path / "runs"
        home.mkdir(exist_ok=True)
        self.request = request_for(night, str(plan), str(data), str(home), speed, "2026-03-28")
        self.run = new_run(self.request)
        open_night(self.request, self.run)

    def follow_all(self, *steps: str) -> None:
        for step in steps or STEPS:
            for _ in follow(self.run, step):
                pass

    def follow_aside(self) -> threading.Thread:
        """Follow in a thread, until the night is over or its nightwatch is gone; else it waits 5 s for somebody."""

        def until_it_breaks() -> None:
            with suppress(NightwatchGone):
                self.follow_all()

        follower = threading.Thread(target=until_it_breaks)
        follower.start()
        return follower

    def wait_for_events(self, kind: str, count: int) -> list:
        for _ in range(400):
            events = [e for e in read_events(self.run.stage("work").events)[0] if e.kind == kind]
            if len(events) >= count:
                return events
            threading.Event().wait(0.1)
        raise AssertionError(f"no {count} events {kind}")

    def wait_over(self, seconds: float = 40) -> None:
        for _ in range(int(seconds * 10)):
            if not nightwatch_alive(self.run):
                return
            threading.Event().wait(0.1)
        raise AssertionError("the nightwatch did not end")

    def pause(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def exit_record(self) -> dict:
        return json.loads(self.run.stage("work").exit.read_text())

    def trainer_pid(self) -> int:
        return read_memory(self.run.stage("work")).running.pid

    def nightwatch_pid(self) -> int:
        return json.loads(self.run.nightwatch_identity.read_text())["pid"]

    def kill_nightwatch(self) -> None:
        os.kill(self.nightwatch_pid(), signal.SIGKILL)
        self.wait_over()

    def end(self) -> None:
        """End whatever still runs."""
        if nightwatch_alive(self.run):
            os.kill(self.nightwatch_pid(), signal.SIGKILL)
        trainer = read_memory(self.run.stage("work")).running
        if trainer and trainer.alive():
            os.killpg(trainer.pid, signal.SIGKILL)


@contextmanager
def finished_night(tmp_path: Path, plan: Path) -> Iterator[OpenNight]:
    """Give a night that has come to its end; what still runs of it is ended afterwards."""
    night = OpenNight(tmp_path, plan)
    try:
        night.follow_all()
        night.wait_over()
        yield night
    finally:
        night.end()


def ledger_kinds(run: RunDir) -> list[str]:
    return [entry.kind for entry in read_ledger(run.ledger, read_seal(run).nonce)]
