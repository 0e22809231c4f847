"""A plain PyTorch script that knows nothing of nights: it prints a line per epoch and saves what it has."""

import argparse
import json
import os

import torch
from pools import WIDTH, listwise_loss, ndcg_at_10, read_pools

parser = argparse.ArgumentParser()
parser.add_argument("--train", required=True)
parser.add_argument("--val", required=True)
parser.add_argument("--test", required=True)
parser.add_argument("--epochs", type=int, default=120)
args = parser.parse_args()

torch.manual_seed(0)
train, val, test = (read_pools(path) for path in (args.train, args.val, args.test))
model = torch.nn.Linear(WIDTH, 1)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
first = 0
if os.path.exists("model.pt"):
    saved = torch.load("model.pt", weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    first = saved["epoch"] + 1
    print(f"going on from epoch {first}", flush=True)

for epoch in range(first, args.epochs):
    losses = []
    for _, features, labels in train:
        optimizer.zero_grad()
        loss = listwise_loss(model(features)[:, 0], labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        ndcg = [ndcg_at_10(model(features)[:, 0], labels) for _, features, labels in val]
        with open("scores.new", "w") as file:
            for split, pools in (("val", val), ("test", test)):
                for query, features, _ in pools:
                    line = {"split": split, "query_id": query, "scores": model(features)[:, 0].tolist()}
                    file.write(json.dumps(line) + "\n")
    os.replace("scores.new", "scores.jsonl")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
    torch.save(state, "model.new")
    os.replace("model.new", "model.pt")
    print(f"epoch {epoch} loss {sum(losses) / len(losses):.4f} ndcg {sum(ndcg) / len(ndcg):.4f}", flush=True)
