"""Workers elsewhere that tune along with a night: their best proposals are tried here, and it tells them its trials.

A night never relies on them: a value that came from elsewhere only says which parameters to try, and a database that
fails is named once and not asked again.
"""

import os
from collections.abc import Sequence

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from models.ranker import Parameters
from models.ranker_boosting import DEFAULTS
from models.settings import STUDY_NAME, STUDY_URL
from models.shared_study import open_study
from models.tuning import SPACE, Trial
from nightshift.states import NightError


class Helpers:
    """The study that a night shares, or nobody."""

    def __init__(self, study: optuna.Study | None = None) -> None:
        self.study = study

    @classmethod
    def found(cls, seed: int) -> "Helpers":
        """Return the helpers that the environment names (NIGHT_STUDY and NIGHT_STUDY_NAME), or nobody."""
        name = os.environ.get(STUDY_NAME, "")
        if not name or not os.environ.get(STUDY_URL):
            return cls()
        try:
            return cls(open_study(name, seed, DEFAULTS))
        except NightError as error:
            print(f"tuning alone: {error}", flush=True)
            return cls()

    def better(self, finished: Sequence[Trial]) -> Parameters | None:
        """Return parameters that scored higher elsewhere than anything here and were not tried here, or None.

        Tells the study of the trials that it does not know yet. Every other trial stays the night's own idea: values
        from elsewhere may be of other data.
        """
        if self.study is None or len(finished) % 2 == 0:
            return None
        best = max(trial.value or 0.0 for trial in finished)
        tried = [dict(trial.parameters) for trial in finished]
        try:
            known = self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
            self._tell(finished, [trial.params for trial in known])
        except (SQLAlchemyError, StorageInternalError) as error:  # its words repeat the address
            print(f"tuning alone from now on: {type(error).__name__}", flush=True)
            self.study = None
            return None
        others = [
            trial
            for trial in known
            if trial.value is not None and trial.value > best and trial.params.keys() == SPACE.keys()
        ]
        others.sort(key=lambda trial: trial.value or 0.0, reverse=True)
        return next((trial.params for trial in others if trial.params not in tried), None)

    def _tell(self, finished: Sequence[Trial], known: Sequence[Parameters]) -> None:
        assert self.study is not None
        for trial in finished:
            parameters = {name: trial.parameters[name] for name in SPACE}
            if parameters not in known:
                self.study.add_trial(
                    optuna.trial.create_trial(params=parameters, distributions=dict(SPACE), value=trial.value)
                )
