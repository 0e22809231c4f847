"""The published model of what goes wrong in a night, and drawing a night from it by seed.

Probabilities are per eight hours unless they say "per hour". Sources: the GPU stop of a datacentre is derived
from published failure rates; all others are assumptions, stated here so that anybody can replace them with
`nightshift simulate --faults FILE` (TOML, one table per profile, the same keys).
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nightshift.states import NightError

HOURS = 8.0
FIRST_NIGHT_SHARE = 1 / 3
"""Nights that are the first of new code: one in a campaign of three."""
INF = float("inf")


class FaultModel(BaseModel):
    """One kind of machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpu_stop: float = Field(default=0.001, ge=0, le=1)
    """The GPU is gone for the night."""
    code_error_first: float = Field(default=0.15, ge=0, le=1)
    """Of the first night of new code: always at the same place, whatever is restarted."""
    code_error_later: float = Field(default=0.03, ge=0, le=1)
    out_of_memory: float = Field(default=0.02, ge=0, le=1)
    hang: float = Field(default=0.02, ge=0, le=1)
    not_finite: float = Field(default=0.02, ge=0, le=1)
    slow_down: float = Field(default=0.10, ge=0, le=1)
    """By 25 to 60 per cent, to the end of the night."""
    disk_full: float = Field(default=0.01, ge=0, le=1)
    reboot: float = Field(default=0.01, ge=0, le=1)
    """Off for 2 to 10 minutes; the boot unit resumes."""
    orchestrator_killed: float = Field(default=0.01, ge=0, le=1)
    server_down: float = Field(default=0.01, ge=0, le=1)
    session_loss_per_hour: float = Field(default=0.0, ge=0)
    """Colab: the machine is gone for good."""
    drive_drop_per_hour: float = Field(default=0.0, ge=0)
    """Colab: the disk of the checkpoints refuses them for 5 to 40 minutes."""


PROFILES = {
    "datacentre": FaultModel(),
    "desktop": FaultModel(gpu_stop=0.01),
    "colab": FaultModel(gpu_stop=0.001, session_loss_per_hour=0.1, drive_drop_per_hour=0.02),
}


@dataclass(frozen=True)
class Script:
    """What will happen in one night; seconds after its start, work in seconds at full rate."""

    set_up_s: float
    evaluate_s: float
    judge_s: float
    slow: tuple[float, float] | None = None
    """(from when, rate)."""
    gpu_stop_s: float = INF
    code_error_work: float = INF
    """Training work at which the code always fails."""
    oom_work: float = INF
    """Work from which the first micro-batch does not fit any more."""
    nan_work: float = INF
    hang_s: float = INF
    full: tuple[tuple[float, float], ...] = ()
    """Intervals in which no checkpoint can be written."""
    down: tuple[tuple[float, float], ...] = ()
    """Intervals in which the machine is off; the second is infinite for a session that is gone."""
    asleep: tuple[tuple[float, float], ...] = ()
    """Intervals in which the machine is suspended: all stand still, nothing is lost."""
    watch_killed_s: float = INF
    """The nightwatch is killed, and revived by its flow."""

    @property
    def faults(self) -> tuple[str, ...]:
        """Names of what goes wrong."""
        found = {
            "gpu stop": self.gpu_stop_s < INF,
            "code error": self.code_error_work < INF,
            "out of memory": self.oom_work < INF,
            "not finite": self.nan_work < INF,
            "hang": self.hang_s < INF,
            "slow-down": self.slow is not None,
            "disk": bool(self.full),
            "off": bool(self.down),
            "asleep": bool(self.asleep),
            "nightwatch killed": self.watch_killed_s < INF,
        }
        return tuple(name for name, there in found.items() if there)


def draw(model: FaultModel, night_s: float, rng: np.random.Generator) -> Script:
    """Return one night; every draw is made whether it is used or not, so that seeds stay comparable."""
    scale = night_s / 3600 / HOURS

    def at(probability: float) -> float:
        happens, when = rng.random(), rng.uniform(0, night_s)
        return round(float(when), 3) if happens < probability * scale else INF

    first = rng.random() < FIRST_NIGHT_SHARE
    at_once, where = rng.random() < 0.6, float(rng.uniform(0, night_s))
    broken = rng.random() < (model.code_error_first if first else model.code_error_later)
    slow_from, slow_rate = at(model.slow_down), float(rng.uniform(0.4, 0.75))
    full = [(at(model.disk_full), float(rng.uniform(300, 3600)))]
    full.append((_poisson(model.drive_drop_per_hour, rng), float(rng.uniform(300, 2400))))
    off = [(at(model.reboot), float(rng.uniform(120, 600)))]
    off.append((_poisson(model.session_loss_per_hour, rng), INF))
    rng.random(2)  # the server's fall: it costs the night nothing
    return Script(
        set_up_s=float(rng.lognormal(np.log(900), 0.4)),
        evaluate_s=float(rng.lognormal(np.log(1500), 0.4)),
        judge_s=float(rng.lognormal(np.log(180), 0.3)),
        slow=(slow_from, slow_rate) if slow_from < INF else None,
        gpu_stop_s=at(model.gpu_stop),
        code_error_work=(0.0 if at_once else where) if broken else INF,
        oom_work=at(model.out_of_memory),
        nan_work=at(model.not_finite),
        hang_s=at(model.hang),
        full=_within(full, night_s),
        down=_within(off, night_s),
        watch_killed_s=at(model.orchestrator_killed),
    )


def _poisson(per_hour: float, rng: np.random.Generator) -> float:
    waited = float(rng.exponential(1.0))
    return waited / per_hour * 3600 if per_hour > 0 else INF


def _within(starts_and_lengths: list[tuple[float, float]], night_s: float) -> tuple[tuple[float, float], ...]:
    """Return the intervals that begin in the night; a virtual clock counts microseconds, so they are rounded."""
    return tuple(
        sorted((round(s, 3), round(s + length, 3)) for s, length in starts_and_lengths if s < night_s)
    )


def read_models(path: Path | None) -> dict[str, FaultModel]:
    """Return the profiles, with what a TOML file changes.

    Raises NightError naming the profile or key that is wrong.
    """
    if path is None:
        return dict(PROFILES)
    try:
        tables = tomllib.loads(path.read_text())
        return {
            name: FaultModel.model_validate(PROFILES.get(name, FaultModel()).model_dump() | table)
            for name, table in tables.items()
        } or dict(PROFILES)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise NightError(f"--faults {path}: cannot be read: {error}") from error
    except (ValidationError, TypeError) as error:
        told = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        place = ".".join(map(str, told["loc"]))
        raise NightError(f"--faults {path}: {place or 'its top'}: {told['msg']}") from error
