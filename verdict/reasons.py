"""Why a night must not be believed, and the one thing to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from nightshift.states import Word


@dataclass(frozen=True)
class Reason:
    """One sign that something is wrong with the night itself, whatever its numbers say."""

    word: Word
    """STOP: fake, leaked, stale or tampered. PAUSE_AND_FIX: otherwise not to be believed."""
    what: str
    """What was found, in one plain clause."""
    mend: str
    """One thing to do, with its cost."""


def stop(
    what: str, mend: str = "Find out what changed (10 min), restore it, and run the night again."
) -> Reason:
    """Return a reason after which nothing of the night may be used."""
    return Reason(Word.STOP, what, mend)


def pause(what: str, mend: str) -> Reason:
    """Return a reason to mend something before the night can be believed."""
    return Reason(Word.PAUSE_AND_FIX, what, mend)


def gravest(reasons: Sequence[Reason]) -> Reason | None:
    """Return the first STOP, else the first reason, else None."""
    return next((r for r in reasons if r.word is Word.STOP), reasons[0] if reasons else None)
