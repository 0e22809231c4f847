"""Trains the rankers: LambdaMART members over folds of TRAIN, one checkpoint per fold; then the ensembles.

    python -m models.train_ranker

Where `handoff.fusion` is among the inputs, that model's score is one more feature.
"""

from collections.abc import Sequence
from pathlib import Path

from models.ensemble import Ensemble
from models.feature_sample import sample_of_matrices, save_sample
from models.ranker import Ranker, load_ranker
from models.ranker_bag import Bag, Ending, selection_score
from models.ranker_boosting import DEFAULTS, Fold, Member, grow_member, split_folds
from models.ranker_data import RankingData, pair_margin_loss, read_ranking_data
from models.settings import RankerSettings, read_settings
from models.train_ensemble import (
    ENSEMBLE,
    KINDS,
    PLAIN,
    Growing,
    choose_recipe,
    ensemble_seeds,
    folds_of,
    grow_ensemble,
    known_recipe,
    plain_ranker,
    write_choice,
)
from nightshift.checkpoint import read_state, whole_checkpoints
from nightshift.instant import boottime_s
from nightshift.trainer import TrainerRun, open_run

BAG = "lightgbm-bag"
CHUNK_ROUNDS = 10


def _report(run: TrainerRun, step: int, bag: Bag, ranker: Ranker) -> float:
    run.phase("evaluate")
    data, chosen, v1 = bag.data, selection_score(ranker, bag.data), bag.data.val.v1_ndcg_at_10
    unseen = bag.out_of_fold
    run.metrics(
        step,
        val_ndcg_at_10=chosen,
        val_ndcg_at_10_v1=v1,
        val_gain=chosen - v1,
        **({} if unseen is None else {"out_of_fold_ndcg_at_10": unseen}),
        loss=pair_margin_loss(ranker.score_matrices(data.train.matrices), data.train.relevance),
    )
    return chosen


def _grow(ending: Ending, fold: Fold, settings: RankerSettings, total: int) -> Member:
    run, before = ending.run, fold.number * settings.rounds

    def watch(rounds: int, held_out_ndcg: float) -> bool:
        if rounds % CHUNK_ROUNDS == 0:
            done = before + rounds
            run.progress(done, samples=done, total=total, share=run.share(done, total))
            run.metrics(done, held_out_ndcg_at_10=held_out_ndcg)
        return ending.near()

    return grow_member(fold, DEFAULTS, settings.rounds, run.seed, watch)


def _resumed(run: TrainerRun, data: RankingData, folds: Sequence[Fold]) -> Bag:
    bag = Bag(data)
    resume = _newest_bag(run)
    if resume:
        ranker, _ = load_ranker(resume, run.device)
        whole = len(ranker.members) - bool(read_state(resume).get("cut"))
        for fold, member in zip(folds, ranker.members[:whole], strict=False):
            bag.add(fold, member.model_to_string())
    return bag


def _newest_bag(run: TrainerRun) -> Path | None:
    """Return the checkpoint to resume, or, where that is another model, the newest bag before it."""
    if run.resume is None or read_state(run.resume).get("design") == BAG:
        return run.resume
    bags = [
        path for path in whole_checkpoints(run.folder.checkpoints) if read_state(path).get("design") == BAG
    ]
    return bags[-1] if bags else None


def train(run: TrainerRun, data: RankingData, settings: RankerSettings, total: int = 0) -> Bag | None:
    """Return the bag, or None where time cut it; every grown fold is in a checkpoint by then."""
    folds = split_folds(data.train.matrices, data.train.relevance, settings.folds, run.seed)
    ending, bag, total = Ending(run), _resumed(run, data, folds), total or settings.folds * settings.rounds
    for fold in folds[len(bag.texts) :]:
        member = _grow(ending, fold, settings, total)
        if member.cut and bag.texts:
            return None
        bag.add(fold, member.text)
        step, ranker = (fold.number + 1) * settings.rounds, bag.ranker
        chosen = _report(run, step, bag, ranker)
        ending.save(
            step,
            ranker,
            DEFAULTS,
            design=BAG,
            selection_score=chosen,
            out_of_fold_ndcg_at_10=bag.out_of_fold,
            folds=len(bag.texts),
            cut=member.cut,
            seed=run.seed,
        )
        if member.cut or (ending.near() and fold is not folds[-1]):
            return None
    done = settings.folds * settings.rounds
    run.progress(done, samples=done, total=total, share=run.share(done, total))
    return bag


def train_ensembles(run: TrainerRun, data: RankingData, settings: RankerSettings, bag: Bag) -> None:
    """Grow one ensemble per sealed seed while there is time; each is a checkpoint."""
    ending, steps = Ending(run), settings.folds * settings.rounds
    known, done = known_recipe(run.folder), ensemble_seeds(run.folder)
    longest_s = 0.0
    for number, seed in enumerate(run.seeds):
        if seed in done:
            continue
        if run.seconds_left() < 1.2 * longest_s + ending.reserve_s:
            print(f"no time for seed {seed}")
            return
        began_s, first = boottime_s(), number == 0
        growing = Growing(data, folds_of(data, settings, seed), seed, settings.rounds, ending.near)
        ensemble = grow_ensemble(growing, bag.ranker if first else None, known[0] if known else KINDS)
        if ensemble is None:
            return
        recipe, table = known or choose_recipe(growing, ensemble, settings.within_ms)
        known = recipe, table
        ensemble = Ensemble(ensemble.trees, ensemble.parts, recipe)
        score, step = selection_score(ensemble, data), steps + 1 + number
        # before the checkpoint: a seed that is saved is not grown again, so its choice must be known
        write_choice(
            run.folder,
            ENSEMBLE,
            recipe,
            table,
            "the largest sum within a standard error of the best, of those fast enough",
        )
        ending.save(
            step,
            ensemble,
            DEFAULTS,
            design=ENSEMBLE,
            selection_score=score,
            seed=seed,
            recipe=list(recipe),
        )
        run.metrics(step, **{f"ensemble_{seed}_ndcg_at_10": score})
        samples, total = steps * (number + 2), steps * (1 + len(run.seeds))
        run.progress(step, samples=samples, total=total, share=run.share(samples, total))
        longest_s = max(longest_s, boottime_s() - began_s)


def save_plain(run: TrainerRun, data: RankingData) -> None:
    """Train what a user would pick instead, as the very first model."""
    ranker = plain_ranker(data, run.seed)
    state = {"selection_score": selection_score(ranker, data), "seed": run.seed}
    Ending(run).save(0, ranker, {}, design=PLAIN, **state)


def main() -> None:
    """Train under the contract; exit 0 also when cut at the deadline."""
    run = open_run()
    settings = read_settings(RankerSettings, run.inputs.get("settings"))
    run.phase("load")
    data = read_ranking_data(run)
    save_sample(run.folder, sample_of_matrices(data, run.nonce), run.nonce)
    run.phase("train")
    if not run.resume:
        save_plain(run, data)
    bag = train(run, data, settings, settings.folds * settings.rounds * (1 + len(run.seeds)))
    if bag is not None and settings.ensemble:
        train_ensembles(run, data, settings, bag)
    run.finish()


if __name__ == "__main__":
    main()
