"""One study that many workers tune together, on any number of machines: its trials lie in a database.

A worker that dies leaves a trial without heartbeat; the next worker to begin a trial puts its parameters back into the
queue, so that no proposal is lost. The URL holds a password: it comes from the environment, never from a command line.
"""

import os
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy.exc import SQLAlchemyError

from models.ranker import Parameters
from models.ranker_boosting import DEFAULTS
from models.settings import STUDY_NAME, STUDY_URL
from models.tuning import SPACE, Trial
from nightshift.states import NightError

PATIENCE = {
    "connect_args": {
        "connect_timeout": 10,
        "tcp_user_timeout": 10_000,
        "options": "-c statement_timeout=10000",
    }
}
"""Seconds and milliseconds after which a PostgreSQL that does not answer is given up."""
FIRST_TRIES = 2
FAILURES = (SQLAlchemyError, StorageInternalError)
"""What a database that cannot be asked raises."""
HEARTBEAT_S, SILENT_S, RETRIES = 15, 60, 3
Objective = Callable[[Parameters], float | None]
"""Parameters -> what the search climbs, or None where the deadline cut the trial."""


def open_study(
    name: str,
    seed: int,
    default: Parameters,
    url: str = "",
    heartbeat_s: int = HEARTBEAT_S,
    silent_s: int = SILENT_S,
) -> optuna.Study:
    """Return the study of this name, made where it does not exist; the default model is its first trial.

    `seed` is this worker's own. Raises NightError where the database cannot be reached.
    """
    where = url or os.environ.get(STUDY_URL, "")
    if not where:
        raise NightError(f"no database: set {STUDY_URL} to its address")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for _ in range(FIRST_TRIES):  # workers that begin together make the tables together, and all but one fail
        with suppress(NightError):
            return _opened(name, seed, default, where, heartbeat_s, silent_s)
        threading.Event().wait(1.0)
    return _opened(name, seed, default, where, heartbeat_s, silent_s)


def _opened(
    name: str, seed: int, default: Parameters, where: str, heartbeat_s: int, silent_s: int
) -> optuna.Study:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ExperimentalWarning
            )  # heartbeats are, since 2021; a test kills a worker
            storage = RDBStorage(
                where,
                engine_kwargs=PATIENCE if where.startswith("postgresql") else None,
                heartbeat_interval=heartbeat_s,
                grace_period=silent_s,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
            )
        # constant_liar: what others are trying now counts as tried, so that two workers do not try the same.
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True, multivariate=False)
        study = optuna.create_study(
            study_name=name, storage=storage, sampler=sampler, direction="maximize", load_if_exists=True
        )
    except RuntimeError:  # Optuna finds somebody else's table of versions
        raise NightError(
            "the study's database holds another program's tables (Prefect's?): make one of its own for studies"
        ) from None
    except (*FAILURES, ImportError, ValueError) as error:
        # The database's own words repeat its address, and the password in it.
        raise NightError(f"the study's database cannot be reached: {type(error).__name__}") from None
    study.enqueue_trial(dict(default), skip_if_exists=True)
    return study


def suggested(trial: optuna.Trial, space: Mapping[str, BaseDistribution] = SPACE) -> Parameters:
    """Return what the study proposes for this trial."""
    values: dict[str, float | int] = {}
    for name, kind in space.items():
        if isinstance(kind, FloatDistribution):
            values[name] = trial.suggest_float(name, kind.low, kind.high, log=kind.log)
        elif isinstance(kind, IntDistribution):
            values[name] = trial.suggest_int(name, kind.low, kind.high, log=kind.log)
    return values


def work(study: optuna.Study, objective: Objective, room: Callable[[], bool]) -> int:
    """Return how many trials this worker finished; it goes on as long as there is `room` for one more."""
    finished = 0

    def run(trial: optuna.Trial) -> float:
        nonlocal finished
        value = objective(suggested(trial))
        if value is None:
            raise optuna.TrialPruned
        finished += 1
        return value

    while room():
        study.optimize(run, n_trials=1)
    return finished


class SharedStudy:
    """The study that a night shares with workers elsewhere, or nobody's.

    A night never relies on them: a value that came from elsewhere only says which parameters to try, and a database
    that fails is named once and not asked again.
    """

    def __init__(self, study: optuna.Study | None = None) -> None:
        self.study = study

    @classmethod
    def found(cls, seed: int) -> "SharedStudy":
        """Return the study that the environment names (NIGHT_STUDY and NIGHT_STUDY_NAME), or nobody's."""
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
        except FAILURES as error:  # its words repeat the address
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
