"""The night inside a Lightning Trainer (the standard library and Lightning only).

from nightshift.lightning import NightCallback, resume_from
from nightshift.trainer import open_run

run = open_run()
trainer = Trainer(max_epochs=20, callbacks=[NightCallback(run)], enable_checkpointing=False, logger=False)
trainer.fit(model, batches, ckpt_path=resume_from(run))
run.finish()
"""

from lightning.pytorch import Callback, LightningModule, Trainer

from nightshift.instant import boottime_s
from nightshift.torchrun import agreed
from nightshift.trainer import TrainerRun

FILE, KIND = "lightning.ckpt", "lightning"


def resume_from(run: TrainerRun) -> str | None:
    """Return Lightning's own file in the newest whole checkpoint, or None at the first start."""
    kept = run.resume / FILE if run.resume else None
    return str(kept) if kept and kept.is_file() else None


class NightCallback(Callback):  # type: ignore[misc]
    """Tells the night how far it is, stops in time, saves at every epoch's end and every five minutes."""

    def __init__(self, run: TrainerRun, reserve_s: float = 10.0, save_every_s: float = 300.0) -> None:
        """`reserve_s`: real seconds that the last checkpoint and what follows it take."""
        self.run, self.reserve_s, self.save_every_s = run, reserve_s, save_every_s
        self.saved_s, self.saved_step = boottime_s(), -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say that training begins."""
        self.run.phase("train")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Tell how far it is; stop where the time is over."""
        step, steps = trainer.global_step, trainer.estimated_stepping_batches
        total = int(steps) if steps != float("inf") else max(1, trainer.max_steps, step)
        self.run.progress(step, samples=step, total=total, share=self.run.share(step, total))
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if values:
            self.run.metrics(step, **values)
        if agreed(self.run.should_stop(self.reserve_s)):
            trainer.should_stop = True
        elif agreed(boottime_s() - self.saved_s > self.save_every_s):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save."""
        self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what a stop in mid-epoch has reached."""
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if trainer.global_step == self.saved_step:
            return
        self.run.phase("checkpoint")
        if self.run.rank:  # only rank 0 writes, but all take part
            trainer.save_checkpoint(self.run.folder.out / FILE)
        self.run.save(
            trainer.global_step,
            lambda folder: trainer.save_checkpoint(folder / FILE),
            kind=KIND,
            epoch=trainer.current_epoch,
        )
        self.saved_s, self.saved_step = boottime_s(), trainer.global_step
        self.run.phase("train")
