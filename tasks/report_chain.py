"""What the ledger says of the files that the report is made from."""

from dataclasses import dataclass, field

from nightshift.checkpoint import sha256_of
from nightshift.rundir import RunDir
from verdict.ledger import Entry, LedgerError, read_ledger

HANDED_OVER, JUDGED, ANCHORED, DECOY = "handed-over", "judged", "anchored", "decoy"


@dataclass
class Chain:
    """The ledger, checked against the hand-off and the verdict on disk."""

    stop: list[str] = field(default_factory=list)
    """Signs of tampering after the hand-over."""
    warnings: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    anchored: bool = False
    """Whether the ledger records that its head left the machine."""
    decoy: str | None = None
    """What the ledger records of tonight's decoy."""


def check_chain(run: RunDir, nonce: str, ledger_head: str) -> Chain:
    """Return what the ledger proves of a night that was handed over with this nonce and ledger head."""
    chain = Chain()
    try:
        entries = read_ledger(run.ledger, nonce)
    except OSError:
        chain.gaps.append("ledger.jsonl is missing, so nothing shows who wrote these files")
        return chain
    except LedgerError as error:
        chain.stop.append(f"the ledger is not whole: {error}")
        return chain
    if ledger_head not in {entry.sha256 for entry in entries}:
        chain.stop.append("the ledger is not the one that the hand-off names")
    handed = _last(entries, HANDED_OVER)
    if handed and handed.facts.get("handoff_sha256") != sha256_of(run.handoff):
        chain.stop.append("handoff.json is not the file that was handed over")
    judged = _last(entries, JUDGED)
    if judged and run.verdict.is_file() and judged.facts.get("verdict_sha256") != sha256_of(run.verdict):
        chain.warnings.append(
            "the verdict shown is not the one of the night: judged again since, or altered by hand"
        )
    decoy = _last(entries, DECOY)
    chain.decoy = str(decoy.facts.get("result", "")) or None if decoy else None
    chain.anchored = _last(entries, ANCHORED) is not None
    return chain


def _last(entries: list[Entry], kind: str) -> Entry | None:
    return next((entry for entry in reversed(entries) if entry.kind == kind), None)
