"""Power and sleep: what doctor reads, and the inhibitor that a night holds."""

import os
import threading

from tasks.inhibit import hold_awake
from tasks.power import on_battery, power_findings, sleeps_when_idle


def supply(folder, name, kind, online=None):
    (folder / name).mkdir(parents=True)
    (folder / name / "type").write_text(kind + "\n")
    if online is not None:
        (folder / name / "online").write_text(f"{online}\n")


def test_a_laptop_on_battery_is_told_to_be_plugged_in(tmp_path):
    supply(tmp_path, "BAT0", "Battery")
    supply(tmp_path, "AC", "Mains", 0)
    assert on_battery(tmp_path)
    assert "plug the charger in" in power_findings(tmp_path, ())[1]
    (tmp_path / "AC" / "online").write_text("1\n")
    assert not on_battery(tmp_path)
    assert not on_battery(tmp_path / "none")


def test_a_machine_that_sleeps_when_idle_is_named(tmp_path):
    conf = tmp_path / "logind.conf"
    conf.write_text("[Login]\n#IdleAction=suspend\n")
    assert sleeps_when_idle((conf,)) == ""
    conf.write_text("[Login]\nIdleAction=suspend\n")
    assert sleeps_when_idle((conf,)) == "suspend"
    drop_in = tmp_path / "logind.conf.d"
    drop_in.mkdir()
    (drop_in / "10-night.conf").write_text("[Login]\nIdleAction=ignore\n")
    assert sleeps_when_idle((conf, drop_in)) == ""


def test_the_inhibitor_is_held_for_as_long_as_the_night(tmp_path, monkeypatch):
    said = tmp_path / "said"
    program = tmp_path / "systemd-inhibit"
    program.write_text(f'#!/bin/sh\necho "$@" > {said}.new && mv {said}.new {said}\nshift 4\nexec "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    held = hold_awake("night Small")
    for _ in range(100):
        if said.exists():
            break
        threading.Event().wait(0.05)
    words = said.read_text()
    assert "--what=sleep:idle:handle-lid-switch" in words
    assert f"tail --pid={os.getpid()} -f /dev/null" in words
    assert held.poll() is None
    held.kill()
    held.wait()


def test_without_systemd_there_is_no_inhibitor(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert hold_awake("night") is None
