"""Tunes the ranker on validation until the deadline: the default model first, then seeded TPE trials.

    python -m models.tune_ranker

Every improvement is a checkpoint whose step is the trial's number (0 = default). Where `stage.train`
is among the inputs and was trained on the same columns, its best checkpoint is the default model.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from models.ranker import Parameters, Ranker, load_ranker
from models.ranker_boosting import DEFAULTS, Fold, grow_member, split_folds
from models.ranker_data import RankingData, read_ranking_data
from models.ranker_fusion import HANDOFF
from models.settings import TuneSettings, read_settings
from models.train_ranker import Bag, Ending, selection_score
from models.tuning import SPACE, Trial, TrialEnd, TrialLog, propose
from nightshift.checkpoint import manifest_sha256, read_state, sha256_of, whole_checkpoints
from nightshift.instant import boottime_s
from nightshift.rundir import StageDir
from nightshift.trainer import TrainerRun, open_run

EARLIER_STAGE = "stage.train"


@dataclass
class Tuning:
    """One tuning stage at work."""

    run: TrainerRun
    data: RankingData
    settings: TuneSettings
    folds: tuple[Fold, ...]
    log: TrialLog
    ending: Ending

    def run_trial(self, number: int, parameters: Parameters) -> TrialEnd:
        """Return how the trial ended; a new best is on disk before its line is."""
        begun = boottime_s()
        bag = self._grown(parameters, keep_first=number == 0)
        if bag is None:
            self.log.add(Trial(number, parameters, TrialEnd.CUT, None, None, boottime_s() - begun))
            return TrialEnd.CUT
        self.take(number, parameters, bag.ranker, bag.out_of_fold, begun)
        return TrialEnd.FINISHED

    def take(
        self, number: int, parameters: Parameters, ranker: Ranker, out_of_fold: float | None, begun: float
    ) -> None:
        """Score a model on validation; keep it as a checkpoint if it is the best; say and log the trial."""
        value = selection_score(ranker, self.data)
        if not self.log.finished or value > (self.log.best.value or 0.0):
            state = {"selection_score": value, "out_of_fold_ndcg_at_10": out_of_fold, "trial": number}
            self.ending.save(number, ranker, parameters, **state)
        seconds = boottime_s() - begun
        self.log.add(Trial(number, parameters, TrialEnd.FINISHED, value, out_of_fold, seconds))
        self._say(number, value)

    def _say(self, number: int, value: float) -> None:
        total, best = self.settings.trials, self.log.best.value or 0.0
        self.run.progress(number, samples=number, total=total, share=self.run.share(number, total))
        v1 = self.data.val.v1_ndcg_at_10
        self.run.metrics(
            number,
            trial=number,
            value=value,
            best_value=best,
            val_ndcg_at_10=best,
            val_ndcg_at_10_v1=v1,
            val_gain=best - v1,
        )

    def _grown(self, parameters: Parameters, keep_first: bool) -> Bag | None:
        """Return the whole bag, or None where the deadline cut it.

        The default model keeps whatever was grown: some model must be there to hand over.
        """
        bag, rounds = Bag(self.data), self.settings.rounds
        for fold in self.folds:
            member = grow_member(fold, parameters, rounds, self.run.seed, self._stop_now)
            if member.cut and not (keep_first and not bag.texts):
                return bag if keep_first else None
            bag.add(fold, member.text)
        return bag

    def _stop_now(self, _rounds: int, _held_out_ndcg: float) -> bool:
        return self.ending.near()

    def room(self) -> bool:
        """Return whether one more trial is likely to end in time."""
        needed = self.log.p90_seconds()
        return not self.ending.near() and self.run.seconds_left() > needed + self.ending.reserve_s


def earlier_default(run: TrainerRun, data: RankingData) -> tuple[Ranker, float | None] | None:
    """Return the best checkpoint of the training stage and its out-of-fold score, where it fits this data."""
    if EARLIER_STAGE not in run.inputs:
        return None
    scored = [(_selection_score(path), path) for path in _rankers(run.inputs[EARLIER_STAGE])]
    if not scored:
        return None
    _, path = max(scored)
    ranker, parameters = load_ranker(path, run.device)
    columns = [space.names if space else () for space in (ranker.space, data.space)]
    if ranker.width != data.width or columns[0] != columns[1] or dict(parameters) != dict(DEFAULTS):
        return None
    out_of_fold = read_state(path).get("out_of_fold_ndcg_at_10")
    return ranker, float(out_of_fold) if isinstance(out_of_fold, float) else None


def _rankers(stage: Path) -> list[Path]:
    whole = whole_checkpoints(StageDir(stage).checkpoints)
    return [path for path in whole if read_state(path).get("kind") == "ranker"]


def _selection_score(checkpoint: Path) -> float:
    score = read_state(checkpoint).get("selection_score")
    return score if isinstance(score, float) else float("-inf")


def fingerprint(run: TrainerRun, settings: TuneSettings) -> str:
    """Return what names the trials' conditions: night, seed, data, settings, search space, defaults."""
    files = [sha256_of(run.inputs[name]) for name in ("train", "val")]
    fusion = run.inputs.get(HANDOFF)
    files += [manifest_sha256(fusion / "checkpoint")] if fusion else []
    figures = settings.model_dump(exclude={"trials"})
    space = {name: repr(distribution) for name, distribution in SPACE.items()}
    conditions = [run.nonce, run.seed, files, figures, space, dict(DEFAULTS)]
    return hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()


def tune(tuning: Tuning) -> str:
    """Return why tuning ended; the default model is on disk before the first trial starts."""
    if not tuning.log.finished:
        begun = boottime_s()
        earlier = earlier_default(tuning.run, tuning.data)
        if earlier:
            tuning.take(0, DEFAULTS, *earlier, begun)
        else:
            tuning.run_trial(0, DEFAULTS)
    for number in range(len(tuning.log.finished), tuning.settings.trials + 1):
        if not tuning.room():
            return "deadline"
        if tuning.run_trial(number, propose(tuning.log.finished, tuning.run.seed, number)) is TrialEnd.CUT:
            return "deadline"
    return "done"


def main() -> None:
    """Tune under the contract; exit 0 at the deadline too."""
    run = open_run()
    settings = read_settings(TuneSettings, run.inputs.get("settings"))
    run.phase("load")
    data = read_ranking_data(run)
    folds = split_folds(data.train.matrices, data.train.relevance, settings.folds, run.seed)
    log = TrialLog(run.folder, fingerprint(run, settings))
    run.phase("train")
    reason = tune(Tuning(run, data, settings, folds, log, Ending(run)))
    log.write_table(reason)
    run.finish(reason)


if __name__ == "__main__":
    main()
