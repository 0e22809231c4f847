"""What an audit says of one thing: whether it can be believed, and why, in plain words."""

from dataclasses import dataclass, field

BELIEVED, NOT_BELIEVED, CANNOT_TELL = "BELIEVED", "NOT BELIEVED", "CANNOT TELL"


@dataclass(frozen=True)
class Answer:
    """One thing audited."""

    subject: str
    """What was looked at: a file, a column, a function."""
    belief: str
    """BELIEVED, NOT BELIEVED or CANNOT TELL."""
    sentence: str
    """The reason in one sentence."""
    facts: dict[str, float | int | str] = field(default_factory=dict)
    """The figures behind it."""
    advice: str = ""
    """What to do next, with its cost in minutes; empty where nothing is to be done."""
