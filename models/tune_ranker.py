"""Tunes LightGBM out of fold until the deadline: the default model first, then seeded TPE trials.

    python -m models.tune_ranker

Every improvement is a checkpoint whose step is the trial's number (0 = default). Where `stage.train`
is among the inputs and was trained on the same columns, its bag is the default model, and a tuned bag
that earns its place takes LightGBM's in the ensembles of that stage. Tuning ends early when the latest
trials have not helped. Workers on other machines may tune along (`models/shared_study.py`).
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from models.ensemble import Ensemble, load_ensemble
from models.feature_sample import sample_of_matrices, save_sample
from models.ranker import Parameters, Ranker, load_ranker
from models.ranker_bag import Bag, Ending, grow_bag, selection_score
from models.ranker_boosting import DEFAULTS, Fold, split_folds
from models.ranker_data import RankingData, read_ranking_data
from models.ranker_fusion import HANDOFF
from models.settings import TuneSettings, read_settings
from models.shared_study import SharedStudy
from models.stage_best import best_by_design
from models.train_ensemble import ENSEMBLE, Growing, ensemble_seeds, known_recipe, write_choice
from models.train_ranker import BAG
from models.tuning import SPACE, Trial, TrialEnd, TrialLog, propose
from nightshift.checkpoint import manifest_sha256, read_state, sha256_of, whole_checkpoints
from nightshift.instant import boottime_s
from nightshift.rundir import StageDir
from nightshift.trainer import TrainerRun, open_run

EARLIER_STAGE = "stage.train"
TUNED = "tuned-ensemble"


@dataclass
class Tuning:
    """One tuning stage at work."""

    run: TrainerRun
    data: RankingData
    settings: TuneSettings
    folds: tuple[Fold, ...]
    log: TrialLog
    ending: Ending
    closing_s: float = 0.0
    """Real seconds kept for putting a tuned bag into the ensembles."""
    shared: SharedStudy = field(default_factory=SharedStudy)

    def run_trial(self, number: int, parameters: Parameters) -> TrialEnd:
        """Return how the trial ended; a new best is on disk before its line is."""
        begun = boottime_s()
        bag = self._grown(parameters, keep_first=number == 0)
        if bag is None:
            self.log.add(Trial(number, parameters, TrialEnd.CUT, None, None, None, boottime_s() - begun))
            return TrialEnd.CUT
        self.take(number, parameters, bag.ranker, bag.out_of_fold, begun)
        return TrialEnd.FINISHED

    def take(
        self, number: int, parameters: Parameters, ranker: Ranker, out_of_fold: float | None, begun: float
    ) -> None:
        """Score a model on validation; keep it as a checkpoint if it is the best; say and log the trial."""
        validation = selection_score(ranker, self.data)
        value = validation if out_of_fold is None else out_of_fold
        if not self.log.finished or value > (self.log.best.value or 0.0):
            state = {"selection_score": validation, "out_of_fold_ndcg_at_10": out_of_fold, "trial": number}
            self.ending.save(number, ranker, parameters, seed=self.run.seed, **state)
        seconds = boottime_s() - begun
        self.log.add(Trial(number, parameters, TrialEnd.FINISHED, value, validation, out_of_fold, seconds))
        self._say(number, value)

    def _say(self, number: int, value: float) -> None:
        total, best = self.settings.trials, self.log.best
        self.run.progress(number, samples=number, total=total, share=self.run.share(number, total))
        v1 = self.data.val.v1_ndcg_at_10
        self.run.metrics(
            number,
            trial=number,
            value=value,
            best_value=best.value or 0.0,
            val_ndcg_at_10=best.validation or 0.0,
            val_ndcg_at_10_v1=v1,
            val_gain=(best.validation or 0.0) - v1,
        )

    def _grown(self, parameters: Parameters, keep_first: bool) -> Bag | None:
        """Return the whole bag, or None where the deadline cut it.

        The default model keeps whatever was grown: some model must be there to hand over.
        """
        data, rounds, seed = self.data, self.settings.rounds, self.run.seed
        return grow_bag(data, self.folds, parameters, rounds, seed, self.ending.near, keep_first)

    def room(self) -> bool:
        """Return whether one more trial is likely to end in time."""
        needed = self.log.p90_seconds() + self.closing_s
        return not self.ending.near() and self.run.seconds_left() > needed + self.ending.reserve_s


def earlier_default(run: TrainerRun, data: RankingData) -> tuple[Ranker, float | None] | None:
    """Return the training stage's bag and its out-of-fold score, where it fits this data."""
    if EARLIER_STAGE not in run.inputs:
        return None
    bags = _rankers(run.inputs[EARLIER_STAGE])
    if not bags:
        return None
    path = bags[-1]
    ranker, parameters = load_ranker(path, run.device)
    columns = [space.names if space else () for space in (ranker.space, data.space)]
    if ranker.width != data.width or columns[0] != columns[1] or dict(parameters) != dict(DEFAULTS):
        return None
    out_of_fold = read_state(path).get("out_of_fold_ndcg_at_10")
    return ranker, float(out_of_fold) if isinstance(out_of_fold, float) else None


def _rankers(stage: Path) -> list[Path]:
    whole = whole_checkpoints(StageDir(stage).checkpoints)
    return [path for path in whole if read_state(path).get("design") == BAG]


def fingerprint(run: TrainerRun, settings: TuneSettings) -> str:
    """Return what names the trials' conditions: night, seed, data, settings, search space, defaults."""
    files = [sha256_of(run.inputs[name]) for name in ("train", "val")]
    fusion = run.inputs.get(HANDOFF)
    files += [manifest_sha256(fusion / "checkpoint")] if fusion else []
    figures = settings.model_dump(exclude={"trials"})
    space = {name: repr(distribution) for name, distribution in SPACE.items()}
    conditions = [run.nonce, run.seed, files, figures, space, dict(DEFAULTS)]
    return hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()


def tune(tuning: Tuning, ensembles: int = 0) -> str:
    """Return why tuning ended; the default model is on disk before the first trial starts.

    Time is kept to put a tuned bag into so many ensembles.
    """
    if not tuning.log.finished:
        begun = boottime_s()
        earlier = earlier_default(tuning.run, tuning.data)
        if earlier:
            tuning.take(0, DEFAULTS, *earlier, begun)
        else:
            tuning.run_trial(0, DEFAULTS)
    for number in range(len(tuning.log.finished), tuning.settings.trials + 1):
        tuning.closing_s = ensembles * (tuning.log.p90_seconds() + 2 * tuning.ending.saving_s)
        if tuning.log.without_improvement() >= tuning.settings.patience:
            return f"no improvement in {tuning.settings.patience} trials"
        if not tuning.room():
            return "deadline"
        finished = tuning.log.finished
        parameters = tuning.shared.better(finished) or propose(finished, tuning.run.seed, number)
        if tuning.run_trial(number, parameters) is TrialEnd.CUT:
            return "deadline"
    return "done"


def tuned_ensembles(tuning: Tuning, earlier: Path) -> int:
    """Put the tuned bag into the training stage's ensembles, seed by seed; return how many there was time for.

    Only where all of them could be made they are chosen: one tuned seed does not replace three.
    """
    run, parameters, made = tuning.run, tuning.log.best.parameters, 0
    best = best_by_design(whole_checkpoints(StageDir(earlier).checkpoints))
    mine = newest_by_trial(run, tuning.log.best.number)
    seeds = sorted((seed for design, seed in best if design == ENSEMBLE), key=lambda seed: seed != run.seed)
    recipe: tuple[str, ...] = ()
    for seed in seeds:
        ensemble, _ = load_ensemble(best[ENSEMBLE, seed], run.device)
        trees = load_ranker(mine, run.device)[0] if seed == run.seed and mine else _bag_of(tuning, seed)
        if trees is None:
            return made
        recipe = ensemble.recipe
        tuned = Ensemble(trees, ensemble.parts, recipe)
        step = tuning.settings.trials + 1 + made
        score = selection_score(tuned, tuning.data)
        tuning.ending.save(
            step, tuned, parameters, design=TUNED, selection_score=score, seed=seed, recipe=list(recipe)
        )
        made += 1
    if made:
        known = known_recipe(StageDir(earlier))
        why = "tuned LightGBM gains out of fold and loses nothing on validation"
        write_choice(run.folder, TUNED, recipe, known[1] if known else [], why)
    return made


def newest_by_trial(run: TrainerRun, number: int) -> Path | None:
    """Return the checkpoint of this trial, or None."""
    whole = whole_checkpoints(run.folder.checkpoints)
    return next((path for path in whole if read_state(path).get("trial") == number), None)


def _bag_of(tuning: Tuning, seed: int) -> Ranker | None:
    data, settings = tuning.data, tuning.settings
    folds = split_folds(data.train.matrices, data.train.relevance, settings.folds, seed)
    growing = Growing(data, folds, seed, settings.rounds, tuning.ending.near)
    return growing.trees(tuning.log.best.parameters)


def main() -> None:
    """Tune under the contract; exit 0 at the deadline too."""
    run = open_run()
    settings = read_settings(TuneSettings, run.inputs.get("settings"))
    run.phase("load")
    data = read_ranking_data(run)
    save_sample(run.folder, sample_of_matrices(data, run.nonce), run.nonce)
    folds = split_folds(data.train.matrices, data.train.relevance, settings.folds, run.seed)
    log = TrialLog(run.folder, fingerprint(run, settings))
    run.phase("train")
    earlier = run.inputs.get(EARLIER_STAGE)
    ensembles = ensemble_seeds(StageDir(earlier)) if earlier else set()
    tuning = Tuning(run, data, settings, folds, log, Ending(run), shared=SharedStudy.found(run.seed))
    reason = tune(tuning, len(ensembles))
    if earlier and ensembles and log.earns_its_place:
        tuned_ensembles(tuning, earlier)
    log.write_table(reason)
    run.finish(reason)


if __name__ == "__main__":
    main()
