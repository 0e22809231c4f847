"""The night inside sentence-transformers' trainer: progress, annealing, deadline, checkpoints."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from models.settings import CandidateSettings
from nightshift.trainer import TrainerRun


class NightCallback(TrainerCallback):  # type: ignore[misc]
    """Ties a Hugging Face trainer to the night's clock."""

    def __init__(
        self,
        run: TrainerRun,
        save: Callable[[int, float], None],
        settings: CandidateSettings,
        args: TrainingArguments,
        pairs: int,
        first_epoch: float,
        reserve_s: Callable[[], float],
    ) -> None:
        self.run, self.save, self.settings = run, save, settings
        self.rate, self.batch = args.learning_rate, args.per_device_train_batch_size
        self.pairs, self.first_epoch, self.reserve_s = pairs, first_epoch, reserve_s
        self.first_step = int(first_epoch * -(-pairs // self.batch))
        self.saved_epoch = first_epoch

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the learning rate along the share of the stage that is used up."""
        share = self.run.share(state.global_step, max(1, state.max_steps))
        for group in kwargs["optimizer"].param_groups:
            group["lr"] = self.rate * self.run.lr_factor * max(0.02, 1 - share)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell how far it is; stop where the time is over."""
        step = self.first_step + state.global_step
        total = int(self.pairs * self.settings.epochs)
        share = self.run.share(state.global_step, max(1, state.max_steps))
        self.run.progress(step, samples=min(total, step * self.batch), total=total, share=share)
        if self.run.should_stop(self.reserve_s()):
            control.should_training_stop = True

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell the training loss."""
        logs = kwargs.get("logs") or {}
        if "loss" in logs:
            self.run.metrics(self.first_step + state.global_step, loss=float(logs["loss"]))

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Validate and save the weights of this epoch."""
        self._save(state)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Save what a stop in mid-epoch has reached."""
        self._save(state)

    def _save(self, state: TrainerState) -> None:
        epoch = self.first_epoch + float(state.epoch or 0)
        if epoch > self.saved_epoch:
            self.save(self.first_step + state.global_step, epoch)
            self.saved_epoch = epoch
