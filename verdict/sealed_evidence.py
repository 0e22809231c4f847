"""What the seal proves: that data, pools, pictures and code are those of the start."""

import json
from pathlib import Path

from nightshift.rundir import RunDir
from verdict.reasons import Reason, pause, stop
from verdict.scored import load_splits
from verdict.seal import Seal
from verdict.sealed_files import (
    changed_code,
    changed_files,
    changed_pools,
    judge_code_sha256,
    judges,
    sealed_code,
    sealed_pictures,
)

NAMED = 3
"""Changed modules that are named; the rest are counted."""


def changed_since_start(run: RunDir, seal: Seal) -> list[Reason]:
    """Return why the night is not judged on what was promised."""
    data = [stop(f"data changed after the start: {line}") for line in changed_files(seal.data.splits)]
    return [*(data or _changed_content(seal)), *_changed_code(seal)]


def _changed_content(seal: Seal) -> list[Reason]:
    """Beyond the files' bytes: as many queries, the same pools, the same pictures."""
    reasons = []
    splits = load_splits(seal)
    for name, sealed in seal.data.contents.items():
        reasons += [
            stop(f"{name} is not what was sealed: {line}") for line in changed_pools(sealed, splits[name])
        ]
    pictures = sealed_pictures(splits.values())
    if pictures != seal.data.pictures:
        reasons.append(stop("data changed after the start: the pictures are not those that were sealed"))
    return reasons


def _changed_code(seal: Seal) -> list[Reason]:
    if not seal.code:
        return []
    now = sealed_code(seal.night, Path(seal.plan_dir))
    changed = changed_code(seal.code, now)
    judging = [name for name in changed if judges(name)]
    if judging or judge_code_sha256(seal.code) != seal.judge_sha256:
        return [
            stop(
                f"the judge is not the one that was sealed: {_named(judging)}",
                "Judge with the version that ran the night, or run it again (10 min to find what changed).",
            )
        ]
    if changed:
        return [
            pause(
                f"code changed after the night was sealed: {_named(changed)}",
                "Look at what changed (10 min); the night is of neither version, so run it again.",
            )
        ]
    return []


def _named(modules: list[str]) -> str:
    more = f" and {len(modules) - NAMED} more" if len(modules) > NAMED else ""
    return ", ".join(modules[:NAMED]) + more or "its hash is another"


def other_baseline(seal: Seal) -> list[Reason]:
    """Return why V1.0 is not comparable: an earlier night had other scores of V1.0 over the same test pools."""
    mine = seal.data.contents.get("test")
    if mine is None or not mine.baseline or seal.plan.baseline_changed:
        return []
    for path in sorted(Path(seal.home).glob("*/*/seal.json")):
        earlier = _earlier(path)
        if earlier is None or earlier[0] != mine.pools or earlier[1] == mine.baseline:
            continue
        return [
            stop(
                f"V1.0's scores are not those of {path.parent.parent.name} ({path.parent.name}) over the same pools "
                "and labels",
                "Find what changed V1.0 (15 min); where it was mended on purpose, say so in the plan "
                '(baseline_changed = "why").',
            )
        ]
    return []


def _earlier(path: Path) -> tuple[dict[str, str], str] | None:
    """Return test pools and V1.0's hash of another night's seal; None where it was not believed, or cannot be read."""
    try:
        if not json.loads(RunDir(path.parent).handoff.read_text())["usable"]:
            return None
        test = json.loads(path.read_text())["data"]["contents"]["test"]
        return dict(test["pools"]), str(test["baseline"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
