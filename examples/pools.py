"""What the three examples share: pools of candidates as hashed words, and nDCG@10 of an order."""

import json
import math
import zlib

import torch

WIDTH = 4096


def words(text):
    """Return the columns of a text's words."""
    return [zlib.crc32(word.encode()) % WIDTH for word in text.lower().split()]


def read_pools(path):
    """Return (query id, features of shape (candidates, WIDTH), labels or None) per line of a split.

    A column counts where a word of the item goes with a word of the search.
    """
    pools = []
    with open(path) as file:
        for line in file:
            query = json.loads(line)
            search = query["query"].lower().split()
            features = torch.zeros(len(query["candidates"]), WIDTH)
            for row, candidate in enumerate(query["candidates"]):
                for word in candidate["text"].lower().split():
                    for wanted in search:
                        features[row, zlib.crc32(f"{wanted} {word}".encode()) % WIDTH] = 1.0
            labels = [candidate.get("relevance") for candidate in query["candidates"]]
            known = None if None in labels else torch.tensor(labels, dtype=torch.float32)
            pools.append((query["query_id"], features, known))
    return pools


def listwise_loss(scores, labels):
    """Return the ListNet loss of one pool."""
    return -(torch.softmax(labels, 0) * torch.log_softmax(scores, 0)).sum()


def ndcg_at_10(scores, labels):
    """Return nDCG@10 of one pool; 0 where nothing in it is relevant."""

    def gain(order):
        return sum((2 ** labels[i].item() - 1) / math.log2(rank + 2) for rank, i in enumerate(order[:10]))

    best = gain(torch.argsort(labels, descending=True))
    return gain(torch.argsort(scores, descending=True)) / best if best else 0.0
