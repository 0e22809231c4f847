"""Which encoders run: the wanted ones where their weights are at hand and fit the time, else the offline ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.image_features import VERSION as HAND_MADE
from models.pretrained import MINILM_TEXTS_PER_S, text_encoder_source, weights_at_hand

TFIDF = "hashed TF-IDF v1"
TEXT_SHARE = 0.15
"""A sentence encoder may take this share of the stage; slower ones give way to TF-IDF, and it is said."""


@dataclass(frozen=True)
class Choice:
    """Which encoders run, and why."""

    text_source: str | None
    """Name of the sentence encoder; None: TF-IDF."""
    vision_source: str | None
    """Name of the CLIP weights; None: hand-made features."""
    spoken: Mapping[str, str]
    """Modality -> what ran, in words."""


def choose(text: str, vision: str, texts: int, seconds: float, pictures: bool) -> Choice:
    """Return the wanted encoders where their weights are at hand and fit the time, else the offline ones.

    `texts` distinct texts must be encoded now, and as many again by the judge, in a stage of `seconds`.
    """
    source = text if text_encoder_source(text) else None
    needed_s = 2 * texts / MINILM_TEXTS_PER_S
    spoken = {"attributes": "standardised numbers and TF-IDF of words", "text": source or ""}
    if source is None:
        spoken["text"] = f"{TFIDF} (weights of {text} are not at hand)"
    elif needed_s > TEXT_SHARE * seconds:
        spoken["text"] = f"{TFIDF} ({text} would take {needed_s:.0f} s of {seconds:.0f} s for {texts} texts)"
        source = None
    clip = vision if pictures and weights_at_hand(vision) else None
    spoken["image"] = clip or (f"{HAND_MADE} (weights of {vision} are not at hand)" if pictures else "absent")
    return Choice(source, clip, spoken)
