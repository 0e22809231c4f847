"""Words of the built-in bar catalogue, and V1.0: a score of the text alone."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

FLAVOURS = ("smoky", "citrus", "floral", "nutty", "spicy", "berry")
ORIGINS = ("italy", "japan", "mexico", "france", "kenya", "norway")
TAGS = ("vegan", "organic")
_SYLLABLES = ("ba", "ro", "mi", "ka", "tel", "no", "vi", "sur", "len", "pa", "dri", "go", "shen", "ula", "fe")
_MOODS = ("bright", "mellow", "bold", "gentle", "classic", "modern", "quiet", "lively")
_ENDS = ("long finish", "short finish", "dry finish", "soft finish", "clean finish")
_PLACES = ("for slow evenings", "for a full table", "made by hand", "a house favourite", "served cold", "")
_FORMS = (
    "{colour} {domain} with {flavour} notes from {origin}",
    "{flavour} {domain} from {origin} in {colour}",
    "{domain} from {origin} {colour} and {flavour}",
    "looking for {colour} {flavour} {domain} from {origin}",
)


def describe(domain: str, flavour: str, rng: np.random.Generator) -> str:
    """Return a description that tells the domain and the flavour, and neither colour nor origin."""
    name = "".join(str(rng.choice(_SYLLABLES)) for _ in range(3)) + str(int(rng.integers(10, 99)))
    mood, end, place = (str(rng.choice(words)) for words in (_MOODS, _ENDS, _PLACES))
    forms = (
        f"{name} {mood} {domain} with {flavour} notes and a {end} {place}",
        f"{mood} {domain} {name} {flavour} character {place} {end}",
        f"{name} a {domain} that is {mood} and {flavour} with a {end}",
    )
    return " ".join(forms[int(rng.integers(len(forms)))].split())


def query_text(asked: tuple[str, str, str, str], tag: str | None, rng: np.random.Generator) -> str:
    """Return a search for (domain, colour, flavour, origin), in one of a few wordings."""
    domain, colour, flavour, origin = asked
    form = _FORMS[int(rng.integers(len(_FORMS)))]
    text = form.format(domain=domain, colour=colour, flavour=flavour, origin=origin)
    return f"{text} {tag}" if tag else text


def text_scores(query: str, texts: Sequence[str]) -> list[float]:
    """Return V1.0: the cosine of TF-IDF vectors of query and text, idf over this pool."""
    counts = [Counter(text.split()) for text in (query, *texts)]
    documents = len(texts)
    seen = Counter(word for count in counts[1:] for word in count)
    idf = {word: math.log((1 + documents) / (1 + seen[word])) + 1 for count in counts for word in count}
    vectors = [{word: n * idf[word] for word, n in count.items()} for count in counts]
    norms = [math.sqrt(sum(v * v for v in vector.values())) for vector in vectors]
    return [
        sum(value * vectors[0].get(word, 0.0) for word, value in vector.items()) / (norms[0] * norm)
        for vector, norm in zip(vectors[1:], norms[1:], strict=True)
    ]
