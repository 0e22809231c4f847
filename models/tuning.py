"""Trials of a tuning stage: proposed by a seeded TPE, kept as one JSON line each so that a kill loses none.

The study itself lives in memory and is rebuilt from the lines: a journal killed in the middle of a
write keeps a lock and half a line. The sampler is seeded by (seed, trial number), so that a resumed
run proposes what the uninterrupted one would have.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from models.ranker import Parameters
from nightshift.checkpoint import write_atomically
from nightshift.events import append_line
from nightshift.rundir import StageDir

SPACE: Mapping[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(0.02, 0.3, log=True),
    "num_leaves": IntDistribution(4, 64, log=True),
    "min_data_in_leaf": IntDistribution(2, 100, log=True),
    "feature_fraction": FloatDistribution(0.2, 1.0),
    "bagging_fraction": FloatDistribution(0.4, 1.0),
    "lambda_l2": FloatDistribution(1e-3, 10.0, log=True),
    "lambdarank_truncation_level": IntDistribution(10, 50),
}
"""What is tuned; the default model lies inside it and is trial 0."""


class TrialEnd(StrEnum):
    """How a trial ended."""

    FINISHED = "finished"
    CUT = "cut"
    """The deadline came; it has no value and is run again where time is given after all."""


@dataclass(frozen=True)
class Trial:
    """One finished trial, or the one that the deadline cut."""

    number: int
    """0 is the default model."""
    parameters: Parameters
    end: TrialEnd
    value: float | None
    """What the search climbs: out-of-fold nDCG@10, or validation's where nothing else can be told."""
    validation: float | None
    """nDCG@10 on validation."""
    out_of_fold: float | None
    """nDCG@10 of the training queries, each scored by the member that left it out; None where not clean."""
    seconds: float
    """Real seconds it took."""


@dataclass
class TrialLog:
    """The finished trials of a stage, in memory and on disk."""

    folder: StageDir
    fingerprint: str
    """What the trials are valid for: data, seed, settings."""

    def __post_init__(self) -> None:
        self.trials = self._read()

    @property
    def _lines(self) -> Path:
        return self.folder.out / "trials.jsonl"

    def _read(self) -> list[Trial]:
        """Return the trials on disk; another night's lines and a torn last one are removed."""
        text = self._lines.read_text() if self._lines.exists() else ""
        whole = text[: text.rfind("\n") + 1].splitlines()
        if not whole or json.loads(whole[0]) != {"fingerprint": self.fingerprint}:
            whole = [json.dumps({"fingerprint": self.fingerprint})]
        write_atomically(self._lines, "\n".join(whole) + "\n")
        records = [json.loads(line) for line in whole[1:]]
        return [Trial(**{**record, "end": TrialEnd(record["end"])}) for record in records]

    def add(self, trial: Trial) -> None:
        """Keep a trial; a cut one is returned in the table only."""
        self.trials.append(trial)
        if trial.end is TrialEnd.FINISHED:
            append_line(self._lines, asdict(trial))

    @property
    def finished(self) -> list[Trial]:
        """Return the trials that have a value, by number."""
        return [trial for trial in self.trials if trial.end is TrialEnd.FINISHED]

    @property
    def best(self) -> Trial:
        """Return the trial with the highest value, the earliest of equals."""
        return max(self.finished, key=lambda trial: (trial.value or 0.0, -trial.number))

    def without_improvement(self) -> int:
        """Return how many trials were finished since the best one."""
        return len(self.finished) - 1 - self.finished.index(self.best) if self.finished else 0

    @property
    def earns_its_place(self) -> bool:
        """Whether the best trial beats the default out of fold and does not lose on validation."""
        best, default = self.best, self.finished[0]
        if best.number == default.number:
            return False
        return (best.value or 0.0) > (default.value or 0.0) and (best.validation or 0.0) >= (
            default.validation or 0.0
        )

    def p90_seconds(self) -> float:
        """Return what nine of ten trials took at most, in real seconds; 0 before the first."""
        taken = [trial.seconds for trial in self.finished]
        return float(np.quantile(taken, 0.9)) if taken else 0.0

    def write_table(self, reason: str) -> None:
        """Write `out/trials.json`: all trials, and how far selection flatters the best one."""
        table = {"reason": reason, **selection(self.finished), "trials": [asdict(t) for t in self.trials]}
        write_atomically(self.folder.out / "trials.json", json.dumps(table, indent=1))


def selection(trials: Sequence[Trial]) -> dict[str, float | int | None]:
    """Return what the best trial gained over the default where it was chosen, and where it was not.

    `selection_gap` is the gain where the search climbed minus the gain on validation, which it did not
    see: an estimate of how much of the former comes from choosing the best of many on a few queries.
    """
    best = max(trials, key=lambda trial: (trial.value or 0.0, -trial.number))
    default = trials[0]
    climbed = (best.value or 0.0) - (default.value or 0.0)
    apart = best.out_of_fold is not None and default.out_of_fold is not None
    on_validation = (best.validation or 0.0) - (default.validation or 0.0)
    return {
        "default_value": default.value,
        "best_trial": best.number,
        "best_value": best.value,
        "gain_over_default": climbed,
        "val_gain_over_default": on_validation,
        "selection_gap": climbed - on_validation if apart else None,
    }


def propose(finished: Sequence[Trial], seed: int, number: int) -> Parameters:
    """Return the parameters of trial `number`, given the finished ones: the same whenever it is asked."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    own_seed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=own_seed))
    study.add_trials(
        optuna.trial.create_trial(params=dict(trial.parameters), distributions=dict(SPACE), value=trial.value)
        for trial in finished
    )
    proposed: Parameters = study.ask(dict(SPACE)).params
    return proposed
