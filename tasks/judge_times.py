"""How long judging took on this machine: what a rehearsal must reserve in real seconds."""

import json
from pathlib import Path

from nightshift.checkpoint import write_atomically
from tasks.durations import data_set_of
from verdict.seal import Seal

FILE = "judge_seconds.json"


def _key(night: str, data: str) -> str:
    return f"{night} on {data_set_of(data)}"


def _known(home: Path) -> dict[str, float]:
    try:
        return {str(k): float(v) for k, v in json.loads((home / ".cache" / FILE).read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def measured_judge_s(home: Path, night: str, data: str) -> float | None:
    """Return the real seconds that judging this night on this data took last, or None."""
    return _known(home).get(_key(night, data))


def remember_judge_s(home: Path, seal: Seal, judge_s: float) -> None:
    """Keep a measured judge time; the slower of the last two counts."""
    known = _known(home)
    key = _key(seal.night.name, seal.data.origin)
    known[key] = max(judge_s, 0.5 * known.get(key, 0.0))
    (home / ".cache").mkdir(exist_ok=True)
    write_atomically(home / ".cache" / FILE, json.dumps(known, indent=1))
