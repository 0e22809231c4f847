"""A Lightning module under a night: one callback, one line to resume, and the scores for the judge."""

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from pools import WIDTH, listwise_loss, ndcg_at_10, read_pools

from nightshift.given_scores import save_scores
from nightshift.lightning import NightCallback, resume_from
from nightshift.trainer import open_run

EPOCHS = 20


class PoolRanker(LightningModule):
    """One score per candidate."""

    def __init__(self, rate):
        super().__init__()
        self.linear = torch.nn.Linear(WIDTH, 1)
        self.rate = rate

    def forward(self, features):
        return self.linear(features)[:, 0]

    def training_step(self, batch, _):
        features, labels = batch
        loss = listwise_loss(self(features), labels)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.rate)


run = open_run()
run.phase("load")
seed_everything(run.seed)
train, val, test = (read_pools(run.inputs[name]) for name in ("train", "val", "test_unlabelled"))
pools = torch.utils.data.DataLoader([(f, labels) for _, f, labels in train], batch_size=None, shuffle=True)
model = PoolRanker(3e-3 * run.lr_factor)
trainer = Trainer(
    max_epochs=EPOCHS,
    accelerator="cpu" if run.device == "cpu" else "gpu",
    devices=1,
    callbacks=[NightCallback(run)],
    enable_checkpointing=False,
    enable_progress_bar=False,
    logger=False,
)
trainer.fit(model, pools, ckpt_path=resume_from(run))

run.phase("evaluate")
model.cpu().eval()
with torch.no_grad():
    scores = {
        name: {q: model(f).tolist() for q, f, _ in given} for name, given in (("val", val), ("test", test))
    }
    ndcg = [ndcg_at_10(torch.tensor(scores["val"][query]), labels) for query, _, labels in val]
save_scores(run, trainer.global_step + 1, scores, selection_score=sum(ndcg) / len(ndcg), seed=run.seed)
run.finish()
