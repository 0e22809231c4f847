"""The words every part of Nightshift shares: what is measured, how things end, what is believed."""

from enum import IntEnum, StrEnum


class NightError(Exception):
    """What a person can mend: the message says what was found, where, and what to do. Exit code 2."""


class Metric(StrEnum):
    """What a criterion can ask for."""

    TRAINING_LOSS = "training_loss"
    """Mean margin ranking loss over all training pairs, recomputed in eval mode."""
    VALIDATION_NDCG = "validation_ndcg"
    """Gain in nDCG@10 over the V1.0 ranking, judged on the sealed test split."""
    COMPLIANCE_AT_1 = "compliance_at_1"
    """Gain over V1.0 in the share of queries whose top item satisfies every hard constraint."""
    INFERENCE_MS = "inference_ms"
    """Upper bound of the 95th percentile of one request's latency, in milliseconds."""
    GPU_UTILISATION_PCT = "gpu_utilisation_pct"
    """Share of the stage's wall time in which at least one kernel ran, in per cent."""
    CANDIDATE_RECALL_AT_100 = "candidate_recall_at_100"
    """Gain over V1.0 in the share of relevant items among the first 100 of the whole corpus."""
    POOL_RECALL_AT_100 = "pool_recall_at_100"
    """Share of the exact search's first 100 that the chosen index finds, at the largest pool."""


class Ending(StrEnum):
    """How a stage ended."""

    FINISHED = "FINISHED"
    """The trainer did all its work, or stopped early by its own declared rule."""
    STOPPED_AT_DEADLINE = "STOPPED_AT_DEADLINE"
    """Its time was over; the last checkpoint stands."""
    CANCELLED = "CANCELLED"
    """A person asked for the machine back."""
    CRASHED = "CRASHED"
    """It died, and restarts did not help."""
    STALLED = "STALLED"
    """It stopped making progress and had to be killed."""
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    """It did not fit the device even with a smaller micro-batch."""
    DIVERGED = "DIVERGED"
    """Its numbers stopped being finite, twice."""
    GPU_LOST = "GPU_LOST"
    """The GPU fell off or must be reset; the newest checkpoint stands."""
    NOT_STARTED = "NOT_STARTED"
    """There was no time left for its minimum, or the night ended before it."""


class CriterionState(StrEnum):
    """What is known of one criterion."""

    MET = "MET"
    MISSED = "MISSED"
    NOT_MEASURED = "NOT_MEASURED"
    """The default: no number without recomputed evidence."""
    INVALID = "INVALID"
    """There is a number, and it must not be believed."""


class Word(StrEnum):
    """The night in one word."""

    GO = "GO"
    """Every required criterion is met."""
    NO_GAIN = "NO_GAIN"
    """Measured honestly, a required criterion missed: a good night's result, never an alarm."""
    PAUSE_AND_FIX = "PAUSE_AND_FIX"
    """Invalid, incomplete, or a required criterion was not measured."""
    STOP = "STOP"
    """Fake, leaked, stale or tampered: nothing of this night may be used."""


class TrainerExit(IntEnum):
    """Exit codes a trainer may choose; anything else is a crash."""

    FINISHED = 0
    OUT_OF_MEMORY = 75
    NOT_FINITE = 76
    """Its numbers are no longer finite: go on from the last good checkpoint, at half the learning rate."""
