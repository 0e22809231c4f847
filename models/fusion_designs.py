"""Which fusion design is handed over: chosen on validation, pooled over the seeds that were trained.

The candidates of a night: `fusion` (the mission's attention plus two-tower products), `late` (two-tower
products alone), `both` (the sum of these two, trained apart: they err on different queries), `leaner`
(`fusion` without the modality that helps least), `attention` (the mission's design alone) and, in time that nothing
else needs, `longer` (`fusion` with twice the epochs). `both` stays
unless another one validates better by more than a standard error, or a modality is not shown to be read
and leaving it out costs nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from models.dataset import Query
from models.stage_best import CHOICE, write_choice

Floats = NDArray[np.float64]
FUSION, LEANER, LATE, ATTENTION, BOTH = "fusion", "leaner", "late", "attention", "both"
LONGER, TIMES_LONGER = "longer", 2
"""Bought with spare time only: kept where it validates better by more than a standard error, else dropped."""
WORDS = {
    FUSION: "attention and two-towers",
    BOTH: "attention and two-towers, plus plain late fusion",
    LEANER: "attention and two-towers without {out}",
    LATE: "plain late fusion (two-towers)",
    ATTENTION: "the mission's attention alone",
    LONGER: "attention and two-towers, trained twice as long",
}


@dataclass(frozen=True)
class Design:
    """One row of the ablation table."""

    name: str
    modalities: tuple[str, ...]

    @property
    def attention(self) -> bool:
        """Whether the mission's attention runs."""
        return self.name != LATE

    @property
    def skip(self) -> bool:
        """Whether two-tower products are added."""
        return self.name != ATTENTION


@dataclass
class Board:
    """What was trained so far, and what it scored on validation."""

    present: tuple[str, ...]
    """Modalities that the data has."""
    seeds: tuple[int, ...]
    scores: dict[str, dict[int, Floats]] = field(default_factory=dict)
    """Design -> seed -> validation nDCG@10 per query, NaN where a query admits none."""
    drops: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Modality -> mean and lower 97.5 % bound of what permuting it costs on validation."""
    took_s: dict[str, float] = field(default_factory=dict)
    """Design -> longest whole training of it, real seconds."""

    def plan(self) -> list[tuple[Design, int]]:
        """Return every training in order of value, as far as is known by now: what is likely to be handed over,
        seed by seed, then what it is compared with.
        """
        first = (FUSION, LEANER, LATE) if self.not_shown else (FUSION, LATE)
        rest = [name for name in (LEANER, ATTENTION) if name not in first]
        rest = rest if len(self.present) > 1 else [ATTENTION]
        order = [(n, s) for s in self.seeds for n in first] + [(n, s) for n in rest for s in self.seeds]
        order += [(LONGER, seed) for seed in self.seeds]
        return [(self.design(name), seed) for name, seed in order]

    def design(self, name: str) -> Design:
        """Return the design of this name, as far as it is known by now."""
        left_out = self.left_out if name == LEANER else ()
        return Design(name, tuple(m for m in self.present if m not in left_out))

    @property
    def not_shown(self) -> tuple[str, ...]:
        """Modalities that the model is not shown to read; never all of them."""
        silent = tuple(m for m, (_, low) in self.drops.items() if low <= 0)
        return silent if len(silent) < len(self.present) else silent[1:]

    @property
    def left_out(self) -> tuple[str, ...]:
        """What `leaner` leaves out: all that is not shown to be read, else what costs least."""
        if self.not_shown or not self.drops:
            return self.not_shown
        return (min(self.drops, key=lambda m: self.drops[m][0]),)

    def words(self, name: str) -> str:
        """Return the design in words."""
        return WORDS[name].format(out=" and ".join(self.left_out) or "nothing")

    def advantage(self, name: str, over: str) -> tuple[float, float]:
        """Return the mean difference on validation over queries and common seeds, and its standard error."""
        common = [seed for seed in self.scores[name] if seed in self.scores.get(over, {})]
        if not common:
            return -np.inf, 0.0
        each = np.mean([self.scores[name][s] - self.scores[over][s] for s in common], axis=0)
        each = each[np.isfinite(each)]
        return float(each.mean()), float(each.std(ddof=1) / np.sqrt(each.size)) if each.size > 1 else np.inf

    def choose(self) -> tuple[str, str]:
        """Return the design to hand over and why, in words."""
        chosen = BOTH if BOTH in self.scores else FUSION
        why = "nothing else validates better by more than a standard error"
        if LEANER in self.scores and self.not_shown:
            gain, error = self.advantage(LEANER, chosen)
            if gain == -np.inf:  # no seed in common
                gain, error = self.advantage(LEANER, FUSION)
            if gain > -error:
                chosen = LEANER
                why = f"{' and '.join(self.not_shown)} not shown to be read; without: {gain:+.4f}"
        for name in (LEANER, FUSION, LATE, ATTENTION, LONGER):
            gain, error = self.advantage(name, chosen) if name in self.scores else (-np.inf, 0.0)
            if name != chosen and gain > error:
                chosen, why = name, f"validates better than {self.words(chosen)} by {gain:+.4f}"
        return chosen, why

    def write(self, out: Path) -> None:
        """Write `choice.json`: what was chosen, why, and the ablation table (validation)."""
        chosen, why = self.choose()
        rows = [
            {
                "design": name,
                "words": self.words(name),
                "ndcg_at_10": float(np.nanmean([np.nanmean(values) for values in seeds.values()])),
                "seeds": {str(seed): float(np.nanmean(values)) for seed, values in seeds.items()},
            }
            for name, seeds in self.scores.items()
        ]
        per_query = {
            name: {
                str(s): [None if np.isnan(v) else round(float(v), 6) for v in values]
                for s, values in x.items()
            }
            for name, x in self.scores.items()
        }
        document = {
            "design": chosen,
            "words": self.words(chosen),
            "why": why,
            "reference": LATE,
            "reference_words": WORDS[LATE],
            "present": self.present,
            "drops": self.drops,
            "took_s": self.took_s,
            "ablation": rows,
            "per_query": per_query,
        }
        write_choice(out, document)

    def read(self, out: Path) -> None:
        """Take over what an attempt before this one has trained."""
        if not (out / CHOICE).exists():
            return
        document = json.loads((out / CHOICE).read_text())
        self.took_s = dict(document["took_s"])
        self.drops = {m: (pair[0], pair[1]) for m, pair in document["drops"].items()}
        self.scores = {
            name: {
                int(s): np.array([np.nan if v is None else v for v in values]) for s, values in seeds.items()
            }
            for name, seeds in document["per_query"].items()
        }


def present_modalities(queries: Sequence[Query]) -> tuple[str, ...]:
    """Return the modalities that some training item has; the text always."""
    items = [item for query in queries for item in query.candidates]
    has: Mapping[str, bool] = {
        "image": any(item.image is not None for item in items),
        "text": True,
        "attributes": any(item.attributes for item in items),
    }
    return tuple(m for m, there in has.items() if there)


def lower_bound(values: Floats) -> tuple[float, float]:
    """Return the mean, and the lower end of its 95 % t interval."""
    known = values[np.isfinite(values)]
    if known.size < 2:
        return float(known.mean()) if known.size else 0.0, -np.inf
    half = float(stats.t.ppf(0.975, known.size - 1)) * known.std(ddof=1) / np.sqrt(known.size)
    return float(known.mean()), float(known.mean() - half)
