import numpy as np
import pytest

from models.dataset import Candidate, FeatureQuery, Query
from nightshift.states import Word
from verdict.probes import pair_accuracy, probe

WORDS = ["oak", "smoke", "plum", "salt", "honey", "grass", "stone", "rose"]


def splits(text=lambda label, rng: "", column=lambda label, rng: 0.0, count=60):
    made = {}
    for number, name in enumerate(("train", "val", "test")):
        rng = np.random.default_rng([4, number])
        made[name] = []
        for i in range(count):
            labels = rng.integers(0, 4, 12)
            pool = tuple(
                Candidate(
                    f"{name}{i}-{j}",
                    f"{rng.choice(WORDS)} {rng.choice(WORDS)} {text(int(label), rng)}",
                    int(label),
                    float(rng.normal()),
                    attributes={"c": column(int(label), rng)},
                )
                for j, label in enumerate(labels)
            )
            made[name].append(Query(f"{name}{i}", f"find {rng.choice(WORDS)}", pool))
    return made


def test_pair_accuracy_counts_ties_as_half():
    labels = np.array([2, 1, 0])
    assert pair_accuracy(np.array([3.0, 2.0, 1.0]), labels) == (1.0, 3)
    assert pair_accuracy(np.zeros(3), labels) == (0.5, 3)
    assert pair_accuracy(np.array([1.0, 2.0, 3.0]), labels)[0] == 0.0


def test_honest_columns_and_texts_are_not_flagged():
    found = probe(splits(column=lambda label, rng: label + rng.normal(0, 1.0)))
    assert not found.reasons
    assert found.words_only is not None
    assert found.words_only < 0.75


@pytest.mark.parametrize(
    "column",
    [
        lambda label, rng: 17 + 2.5 * label + rng.normal(0, 0.2),
        lambda label, rng: -label + rng.normal(0, 0.05),
        lambda label, rng: str(9 - label),
    ],
)
def test_a_column_that_holds_the_label_stops_the_night(column):
    found = probe(splits(column=column))
    assert [reason.word for reason in found.reasons] == [Word.STOP]
    assert "'c' alone" in found.reasons[0].what


def test_texts_written_from_the_labels_pause_the_night():
    tiers = ["dull", "fair", "good", "superb"]
    found = probe(splits(text=lambda label, rng: tiers[label]))
    assert [reason.word for reason in found.reasons] == [Word.PAUSE_AND_FIX]
    partly = probe(splits(text=lambda label, rng: tiers[label] if rng.random() < 0.4 else rng.choice(tiers)))
    assert not partly.reasons


def test_a_feature_file_column_that_holds_the_label_is_named():
    rng = np.random.default_rng(2)

    def letor(leak):
        made = []
        for i in range(40):
            features, labels = rng.normal(size=(10, 4)).astype(np.float32), rng.integers(0, 3, 10)
            if leak:
                features[:, 2] = labels + 0.01 * features[:, 2]
            made.append(FeatureQuery(str(i), features, labels))
        return made

    assert not probe({name: letor(False) for name in ("train", "val", "test")}).reasons
    found = probe({name: letor(True) for name in ("train", "val", "test")})
    assert "'feature 3'" in found.reasons[0].what
