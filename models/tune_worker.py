"""One of any number of workers that tune LightGBM together (`python -m models.tune_worker`), one per GPU or core.

The study lies in the database that NIGHT_STUDY names, under the name in NIGHT_STUDY_NAME; all workers of one study read
the same data with the same settings. Each ends at its own deadline; what it has finished is everybody's, and a trial
that died with its worker is proposed again. A night whose tuning stage shares the study tries the best parameters
itself: what it hands over was grown and scored there.
"""

import os
import secrets
import sys
from dataclasses import dataclass

from models.ranker import Parameters
from models.ranker_bag import Ending, grow_bag, selection_score
from models.ranker_boosting import DEFAULTS, Fold, split_folds
from models.ranker_data import RankingData, read_ranking_data
from models.settings import STUDY_NAME, TuneSettings, read_settings
from models.shared_study import open_study, work
from nightshift.instant import boottime_s
from nightshift.states import NightError
from nightshift.trainer import TrainerRun, open_run


@dataclass
class Worker:
    """One worker's side of a shared study."""

    run: TrainerRun
    data: RankingData
    settings: TuneSettings
    folds: tuple[Fold, ...]
    ending: Ending
    trials: int = 0
    longest_s: float = 0.0

    def value(self, parameters: Parameters) -> float | None:
        """Return out-of-fold nDCG@10 of a bag with these parameters (validation's where that is not clean)."""
        begun, seed = boottime_s(), self.run.seed
        bag = grow_bag(self.data, self.folds, parameters, self.settings.rounds, seed, self.ending.near)
        if bag is None:
            return None
        value = bag.out_of_fold if bag.out_of_fold is not None else selection_score(bag.ranker, self.data)
        self.longest_s = max(self.longest_s, boottime_s() - begun)
        self.trials += 1
        total = self.settings.trials
        self.run.progress(
            self.trials, samples=self.trials, total=total, share=self.run.share(self.trials, total)
        )
        self.run.metrics(self.trials, value=value)
        return value

    def room(self) -> bool:
        """Return whether one more trial is likely to end in time."""
        enough = self.run.seconds_left() > self.longest_s + self.ending.reserve_s
        return enough and self.trials < self.settings.trials and not self.ending.near()


def main() -> int:
    """Return the exit code; the deadline is a good ending."""
    run = open_run()
    settings = read_settings(TuneSettings, run.inputs.get("settings"))
    name = os.environ.get(STUDY_NAME)
    if not name:
        raise NightError(f"no study: set {STUDY_NAME} to the name that all its workers share")
    run.phase("load")
    data = read_ranking_data(run)
    folds = split_folds(data.train.matrices, data.train.relevance, settings.folds, run.seed)
    study = open_study(name, seed=secrets.randbits(32), default=DEFAULTS)
    run.phase("train")
    worker = Worker(run, data, settings, folds, Ending(run))
    finished = work(study, worker.value, worker.room)
    best = (
        study.best_trial
        if any(trial.value is not None for trial in study.get_trials(deepcopy=False))
        else None
    )
    run.write_result(
        "shared-study",
        {
            "study": name,
            "finished_here": finished,
            "best_value": best and best.value,
            "best": best and best.params,
        },
    )
    run.finish()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NightError as error:
        print(f"tune_worker: {error}", file=sys.stderr)
        sys.exit(2)
