"""Will this machine stay awake until the morning? What can be read of its power and sleep settings."""

import shutil
from pathlib import Path

POWER = Path("/sys/class/power_supply")
LOGIND = (Path("/etc/systemd/logind.conf"), Path("/etc/systemd/logind.conf.d"))
SLEEPY = ("suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate", "poweroff", "halt")


def on_battery(power: Path = POWER) -> bool:
    """Return whether a battery is there and no charger gives power."""
    supplies = list(power.iterdir()) if power.is_dir() else []
    kinds = [(_text(supply / "type"), _text(supply / "online")) for supply in supplies]
    batteries = any(kind == "Battery" for kind, _ in kinds)
    return batteries and not any(kind in ("Mains", "USB") and online == "1" for kind, online in kinds)


def sleeps_when_idle(places: tuple[Path, ...] = LOGIND) -> str:
    """Return what logind does to an idle machine, or an empty text where it leaves it alone."""
    files = [f for place in places for f in (sorted(place.glob("*.conf")) if place.is_dir() else [place])]
    lines = [line.strip() for file in files for line in _text(file).splitlines()]
    actions = [line.split("=", 1)[1].strip() for line in lines if line.startswith("IdleAction=")]
    return actions[-1] if actions and actions[-1] in SLEEPY else ""


def power_findings(power: Path = POWER, places: tuple[Path, ...] = LOGIND) -> tuple[str, str]:
    """Return (what was found, what to do about it; empty where nothing is to be done)."""
    found, mend = [], []
    if on_battery(power):
        found.append("on battery")
        mend.append("plug the charger in")
    action = sleeps_when_idle(places)
    if action:
        found.append(f"logind's IdleAction is {action}")
        mend.append("set IdleAction=ignore in /etc/systemd/logind.conf")
    if shutil.which("systemd-inhibit"):
        found.append("a night holds a sleep inhibitor")
    else:
        found.append("no systemd-inhibit: nothing here can hold the machine awake")
    return ", ".join(found), "; ".join(mend)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
