"""A night in a few words, the same on every screen: wall times, what a stage does and measured, what its GPU does."""

from zoneinfo import ZoneInfo

from nightshift.instant import parse_utc
from tasks.night_status import NightStatus, StageStatus

SHOWN_VALUES = {
    "loss": "loss",
    "best_value": "best nDCG",
    "val_ndcg_at_10": "nDCG",
    "val_recall_at_100": "recall",
}
"""What a trainer told -> how it is called where there is little room; two of them fit 80 columns."""


def local(instant: str, zone: ZoneInfo) -> str:
    """Return the wall time of an ISO instant."""
    return f"{parse_utc(instant).astimezone(zone):%H:%M}"


def state_told(stage: StageStatus) -> str:
    """Return how a stage ended, or its phase while it runs, or that it waits."""
    if stage.ending:
        return stage.ending.replace("_", " ").lower()
    return stage.phase if stage.start else "waiting"


def values_told(stage: StageStatus, most: int = 2) -> str:
    """Return what a stage last measured: values that have a word, else the first of what its trainer says."""
    known = {short: stage.values[name] for name, short in SHOWN_VALUES.items() if name in stage.values}
    shown = list((known or stage.values).items())[:most]
    return ", ".join(f"{name} {value:.3g}" for name, value in shown)


def gpu_told(status: NightStatus) -> str:
    """Return the sampler's newest reading in words, or an empty text where there is none."""
    values = status.gpu_values
    told = []
    if "utilisation_pct" in values:
        told.append(f"{values['utilisation_pct']:.0f} % busy")
    if "sm_pct" in values:
        told.append(f"processors {values['sm_pct']:.0f} %")
    if "memory_total_bytes" in values:
        used, total = values.get("memory_used_bytes", 0.0), values["memory_total_bytes"]
        told.append(f"{used / 2**30:.1f} of {total / 2**30:.1f} GiB")
    if "power_w" in values:
        told.append(f"{values['power_w']:.0f} W")
    return ", ".join(told)
