"""Spare time after an early hand-over: is the campaign's next night ready? (`python -m tasks.next_night RUN_DIR`)

Its data are hashed and examined as they will be at 23:00, so that what would halt it is known in the morning, with
a day left to mend it, and not in the evening.
"""

import sys
from datetime import timedelta
from pathlib import Path

from nightshift.checkpoint import write_atomically
from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.campaign import next_of_campaign
from tasks.launch import NightRequest, make_seal
from verdict.seal import read_seal


def next_night_sentence(run: RunDir) -> str:
    """Return whether the campaign's next night could begin, in one sentence."""
    seal = read_seal(run)
    home = Path(seal.home)
    night = next_of_campaign(seal.plan, home)
    if night is None:
        return "This was the campaign's last night."
    origin = Path(seal.data.origin)
    request = NightRequest(
        plan=seal.plan,
        plan_dir=Path(seal.plan_dir),
        night=night,
        data=str(origin) if origin.exists() else None,
        home=home,
        speed=1.0,
        day=seal.date + timedelta(days=1),
    )
    try:
        found = make_seal(request).preflight
    except NightError as error:
        return f"The next night, {night.title}, would be refused: {error}"
    if found and found.halted:
        return f"The next night, {night.title}, would be halted: {found.halted[0]}"
    told = f": {found.sentence}" if found and not found.can_answer else ""
    return f"The next night, {night.title}, is ready{told}"


if __name__ == "__main__":
    RUN = RunDir(Path(sys.argv[1]))
    write_atomically(RUN.next_night, next_night_sentence(RUN))
