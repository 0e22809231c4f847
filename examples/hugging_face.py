"""A Hugging Face Trainer under a night: one callback, one line to resume, and the scores for the judge."""

import torch
from pools import WIDTH, listwise_loss, ndcg_at_10, read_pools
from transformers import Trainer, TrainingArguments

from nightshift.given_scores import save_scores
from nightshift.hugging_face import NightCallback, resume_from
from nightshift.trainer import open_run

EPOCHS = 20


class PoolRanker(torch.nn.Module):
    """One score per candidate; the loss over its pool where labels are given."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(WIDTH, 1)

    def forward(self, features, labels=None):
        scores = self.linear(features)[:, 0]
        return (
            {"loss": listwise_loss(scores, labels), "scores": scores}
            if labels is not None
            else {"scores": scores}
        )


run = open_run()
run.phase("load")
train, val, test = (read_pools(run.inputs[name]) for name in ("train", "val", "test_unlabelled"))
rows = [{"features": features, "labels": labels} for _, features, labels in train]
model = PoolRanker()
arguments = TrainingArguments(
    output_dir=str(run.folder.out / "trainer"),
    per_device_train_batch_size=1,  # a pool is a batch
    num_train_epochs=EPOCHS,
    learning_rate=3e-3 * run.lr_factor,
    logging_steps=20,
    save_strategy="steps",
    save_steps=100,
    save_total_limit=2,
    seed=run.seed,
    report_to=[],
    disable_tqdm=True,
    use_cpu=run.device == "cpu",
)
trainer = Trainer(
    model, arguments, train_dataset=rows, data_collator=lambda batch: batch[0], callbacks=[NightCallback(run)]
)
trainer.train(resume_from_checkpoint=resume_from(run))

run.phase("evaluate")
model.cpu().eval()
scores = {"val": {}, "test": {}}
with torch.no_grad():
    for split, pools in (("val", val), ("test", test)):
        for query, features, _ in pools:
            scores[split][query] = model(features)["scores"].tolist()
ndcg = [ndcg_at_10(torch.tensor(scores["val"][query]), labels) for query, _, labels in val]
save_scores(run, trainer.state.global_step + 1, scores, selection_score=sum(ndcg) / len(ndcg), seed=run.seed)
run.finish()
