"""What a stage has been through, on disk: a nightwatch that was killed is replaced by one that reads it."""

import json
from dataclasses import asdict, dataclass, field

from nightshift.checkpoint import write_atomically
from nightshift.rundir import StageDir
from tasks.process_identity import ProcessIdentity
from tasks.supervision import Standing


@dataclass(frozen=True)
class Attempt:
    """One process of a stage; instants are ISO 8601 UTC."""

    pid: int
    start: str
    end: str
    exit_code: int | None
    """Negative: the signal that ended it; None: it was adopted, so nobody can know."""
    fault: str = ""
    """What went wrong with it, or an empty text."""


@dataclass
class StageMemory:
    """Everything of a stage that a new nightwatch must know."""

    started: str = ""
    standing: Standing = field(default_factory=Standing)
    attempts: list[Attempt] = field(default_factory=list)
    running: ProcessIdentity | None = None
    """The trainer that runs now, or ran when this was written."""
    running_since: str = ""

    def write(self, folder: StageDir) -> None:
        """Keep it."""
        write_atomically(folder.standing, json.dumps(asdict(self), indent=1))


def read_memory(folder: StageDir) -> StageMemory:
    """Return what is known of a stage; an empty memory where it has not begun or the file is broken."""
    try:
        record = json.loads(folder.standing.read_text())
        running = record["running"]
        return StageMemory(
            started=str(record["started"]),
            standing=Standing(**record["standing"]),
            attempts=[Attempt(**attempt) for attempt in record["attempts"]],
            running=ProcessIdentity(**running) if running else None,
            running_since=str(record["running_since"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return StageMemory()
