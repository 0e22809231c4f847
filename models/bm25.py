"""BM25: the plain text search that candidate generators are compared with.

score(q, d) = sum over words w of q: idf(w) * tf (k1 + 1) / (tf + k1 (1 - b + b |d| / mean |d|)), with
idf(w) = log(1 + (N - df + .5) / (df + .5)) (Robertson and Zaragoza 2009; the idf of Lucene).
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from models.text_features import WORD

K1, B = 1.2, 0.75


class BM25:
    """An index over texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(WORD.findall(text.lower())) for text in texts]
        self.words = {word: i for i, word in enumerate(sorted({w for count in counts for w in count}))}
        lengths = np.array([sum(count.values()) for count in counts], dtype=np.float64)
        mean = max(float(lengths.mean()), 1e-9) if len(texts) else 1.0
        rows, columns, values = [], [], []
        for row, count in enumerate(counts):
            for word, tf in count.items():
                rows.append(self.words[word])
                columns.append(row)
                values.append(tf * (K1 + 1) / (tf + K1 * (1 - B + B * lengths[row] / mean)))
        weights = csr_matrix((values, (rows, columns)), shape=(len(self.words), len(texts)))
        df = np.diff(weights.indptr)
        idf = np.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
        self.weights = weights.multiply(idf[:, None]).tocsr()

    def scores(self, queries: Sequence[str]) -> NDArray[np.float64]:
        """Return BM25 of every query with every text, shape (queries, texts)."""
        rows, columns, values = [], [], []
        for row, query in enumerate(queries):
            for word, count in Counter(WORD.findall(query.lower())).items():
                if word in self.words:
                    rows.append(row)
                    columns.append(self.words[word])
                    values.append(float(count))
        asked = csr_matrix((values, (rows, columns)), shape=(len(queries), len(self.words)))
        return np.asarray((asked @ self.weights).todense())
