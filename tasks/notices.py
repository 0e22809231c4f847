"""Messages to a person: at most one per fact, sent again where that fails, and kept in a file where nothing helps.

`python -m tasks.notices FOLDER` sends the notice on its stdin, in a process of its own: no network may hold a night.
Where to: `NIGHTSHIFT_NOTIFY`, Apprise addresses separated by blanks (https://github.com/caronc/apprise/wiki). A flow
sends through a Prefect block instead, where one is named (`flows/notify.py`); who comes first sends, the other finds
the fact claimed.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nightshift.checkpoint import write_atomically
from nightshift.instant import wall_now
from nightshift.rundir import RunDir
from nightshift.states import NightError
from verdict.ledger import read_chain
from verdict.seal import read_seal

CHANNELS = "NIGHTSHIFT_NOTIFY"
PAUSES_S = (2.0, 10.0, 60.0)
"""Real seconds before a notice that could not be sent is tried again."""
LAST_RESORT = "notices.txt"
"""In the claims' folder: what could be sent nowhere."""
Deliver = Callable[[str, str], bool]
"""(title, text) -> whether it arrived."""


@dataclass(frozen=True)
class Notice:
    """One thing a person should hear of, once."""

    fact: str
    """What it is about, as a file name: `preflight`, `bedtime`, `handed-over`."""
    title: str
    text: str
    head: str = ""
    """Head of the ledger when it was written: proof of what was known then."""

    @property
    def body(self) -> str:
        """Return the text as it is sent."""
        return f"{self.text}\n\nledger {self.head[:16]}" if self.head else self.text


def head_of(run: RunDir) -> str:
    """Return the head of a night's ledger, or an empty text where it cannot be read."""
    try:
        return read_chain(run.ledger, read_seal(run).nonce).head
    except NightError:
        return ""


def preflight_notice(run: RunDir, title: str, sentence: str) -> Notice:
    """Return what is said at 23:00."""
    return Notice("preflight", f"Tonight: {title}", sentence, head_of(run))


def handed_over_notice(run: RunDir, word: str, sentence: str) -> Notice:
    """Return what is said of a night that was handed over."""
    text = f"{sentence}\nReport: {run.report_html}"
    return Notice("handed-over", f"{word.replace('_', ' ')}: {run.path.name}", text, head_of(run))


def channels() -> list[str]:
    """Return the Apprise addresses to send to."""
    return os.environ.get(CHANNELS, "").split()


def claim(folder: Path, fact: str) -> Path | None:
    """Return the fact's own file, now there; None where somebody has claimed it before."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{fact}.json"
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    except FileExistsError:
        return None
    return path


def through_apprise(addresses: Sequence[str]) -> Deliver:
    """Return what delivers to these addresses."""

    def deliver(title: str, text: str) -> bool:
        import apprise  # takes half a second, and most nights send nothing

        post = apprise.Apprise()
        known = [post.add(address) for address in addresses]
        return all(known) and bool(post.notify(title=title, body=text))

    return deliver


def send(folder: Path, notice: Notice, deliver: Deliver, pauses_s: Sequence[float] = PAUSES_S) -> bool:
    """Return whether the notice was sent now; one that was claimed before is not sent again."""
    path = claim(folder, notice.fact)
    if path is None:
        return False
    never = threading.Event()
    sent, tries = False, 0
    for pause_s in (0.0, *pauses_s):
        never.wait(pause_s)
        tries += 1
        sent = deliver(notice.title, notice.body)
        if sent:
            break
    record = {**asdict(notice), "at": wall_now().isoformat(), "sent": sent, "tries": tries}
    write_atomically(path, json.dumps(record, indent=1))
    if not sent:
        with (folder / LAST_RESORT).open("a") as file:
            file.write(f"{record['at']} {notice.title}\n{notice.body}\n\n")
    return sent


def send_in_background(folder: Path, notice: Notice) -> None:
    """Send a notice from a process of its own; nothing happens where no address is set or the fact is claimed."""
    if not channels() or (folder / f"{notice.fact}.json").exists():
        return
    child = subprocess.Popen(
        [sys.executable, "-m", "tasks.notices", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert child.stdin is not None
    with child.stdin:
        child.stdin.write(json.dumps(asdict(notice)).encode())


def main(folder: Path) -> int:
    """Return 0 after the notice on stdin was sent, 1 where it could not be."""
    notice = Notice(**json.loads(sys.stdin.read()))
    return 0 if send(folder, notice, through_apprise(channels())) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
