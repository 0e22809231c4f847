"""Whether the newest night of a home is tonight's: an older one must not stand in for a night that never began."""

from datetime import datetime, timedelta
from pathlib import Path

from nightshift.rundir import RunDir
from schedules.window import instant_of, resolve_zone
from tasks.campaign import next_of_campaign
from verdict.seal import read_seal

OVER = "every night of this campaign was handed over; none is due"


def why_not_tonights(run: RunDir, now: datetime) -> str:
    """Return why a night is not the last that was due by `now` (UTC), or an empty text where it is.

    `OVER` where its campaign has none left. A rehearsal's dates are its own: it is always taken for tonight's.
    """
    seal = read_seal(run)
    following = seal.date + timedelta(days=1)
    if seal.speed != 1 or now < instant_of(following, seal.plan.starts, resolve_zone(seal.timezone)):
        return ""
    if next_of_campaign(seal.plan, Path(seal.home)) is None:
        return OVER
    return (
        f"the newest night here is {seal.night.name} of {seal.date}; none has begun since. Is a worker (or "
        "`nightshift start`) running, and the deployment not paused?"
    )
