"""The night inside a Hugging Face Trainer (the standard library and transformers only).

from nightshift.hugging_face import NightCallback, resume_from
from nightshift.trainer import open_run

run = open_run()
trainer = Trainer(model, TrainingArguments(run.folder.out / "hf", save_strategy="epoch"), ...,
                  callbacks=[NightCallback(run)])
trainer.train(resume_from_checkpoint=resume_from(run))
run.finish()
"""

import shutil
from pathlib import Path

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from nightshift.torchrun import agreed
from nightshift.trainer import TrainerRun

FOLDER, KIND = "trainer", "hugging-face"


def resume_from(run: TrainerRun) -> str | None:
    """Return the trainer's own folder in the newest whole checkpoint, or None at the first start."""
    kept = run.resume / FOLDER if run.resume else None
    return str(kept) if kept and kept.is_dir() else None


class NightCallback(TrainerCallback):  # type: ignore[misc]
    """Tells the night how far it is, stops in time, and keeps every checkpoint that the trainer writes."""

    def __init__(self, run: TrainerRun, reserve_s: float = 10.0) -> None:
        """`reserve_s`: real seconds that the last checkpoint and what follows it take."""
        self.run, self.reserve_s = run, reserve_s

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Say that training begins."""
        self.run.phase("train")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Tell how far it is; save and stop where the time is over."""
        step, steps = state.global_step, max(1, state.max_steps)
        batch = args.train_batch_size * args.gradient_accumulation_steps
        self.run.progress(step, samples=step * batch, total=steps * batch, share=self.run.share(step, steps))
        if agreed(self.run.should_stop(self.reserve_s)):
            control.should_save = control.should_training_stop = True

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Tell what the trainer logs, its evaluations too."""
        logs = kwargs.get("logs")
        logs = logs if isinstance(logs, dict) else {}
        values = {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}
        self.run.metrics(state.global_step, **values)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Keep the trainer's checkpoint, whole and hashed."""
        written = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        self.run.phase("checkpoint")
        self.run.save(
            state.global_step, lambda folder: _copy(written, folder / FOLDER), kind=KIND, epoch=state.epoch
        )
        self.run.phase("train")


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target)
