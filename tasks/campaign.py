"""Which night of a plan comes next: honest nights are never repeated, nights that broke are, within reason."""

from dataclasses import dataclass
from pathlib import Path

from nightshift.rundir import RunDir
from nightshift.states import Ending
from schedules.plan import Night, Plan
from tasks.handoff import Handoff, read_handoff
from verdict.seal import Seal, SealError, read_seal

MOST_TRIES = 3
"""A night that broke so often is left for a person; the campaign goes on without it."""
BROKE = (Ending.CRASHED, Ending.STALLED, Ending.OUT_OF_MEMORY, Ending.GPU_LOST, Ending.CANCELLED)


@dataclass(frozen=True)
class Tries:
    """What a home holds of one night."""

    settled: bool
    """Measured honestly, or stopped for a reason that another night does not mend."""
    broke: int
    """Runs that gave no answer because something broke."""

    @property
    def over(self) -> bool:
        """Whether the campaign goes on without it."""
        return self.settled or self.broke >= MOST_TRIES


def broke(handoff: Handoff) -> str:
    """Return what broke, where a hand-over gave no answer for that reason; an empty text otherwise.

    GO and NO_GAIN are answers. STOP and a PAUSE_AND_FIX with whole stages are for a person: another night would
    say the same.
    """
    if handoff.usable:
        return ""
    broken = [f"{stage} {ending}" for stage, ending in handoff.endings.items() if ending in BROKE]
    if broken:
        return ", ".join(broken)
    return "not judged" if handoff.judged is False else ""


def tries(home: Path, night: str) -> Tries:
    """Return what this home holds of one night."""
    handoffs = [h for p in home.glob("*/*/handoff.json") if (h := read_handoff(RunDir(p.parent)))]
    mine = [handoff for handoff in handoffs if handoff.night == night]
    failures = sum(bool(broke(handoff)) for handoff in mine)
    return Tries(settled=len(mine) > failures, broke=failures)


def next_of_campaign(plan: Plan, home: Path) -> Night | None:
    """Return the first night of the plan that still owes an answer in this home, or None."""
    return next((night for night in plan.nights if not tries(home, night.name).over), None)


def changed_code(home: Path, mine: RunDir, seal: Seal) -> str:
    """Return which code has changed since the campaign's night before, in words; empty where none has."""
    before = _night_before(home, mine, seal)
    if before is None:
        return ""
    names = sorted(set(before.code) & set(seal.code))
    changed = [name for name in names if before.code[name] != seal.code[name]]
    if not changed:
        return ""
    shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    return (
        f"The code is not that of night {before.night.name} ({before.date}): {shown} changed; "
        "figures of nights before and after are not one experiment"
    )


def _night_before(home: Path, mine: RunDir, seal: Seal) -> Seal | None:
    found: list[Seal] = []
    for path in home.glob("*/*/seal.json"):
        try:
            other = read_seal(RunDir(path.parent)) if path.parent != mine.path else None
        except SealError:
            continue
        if other and other.plan.campaign == seal.plan.campaign and other.window.start <= seal.window.start:
            found.append(other)
    return max(found, key=lambda other: other.window.start, default=None)
