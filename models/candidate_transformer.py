"""The candidate generator of a GPU night: a sentence transformer, tuned on the night's own searches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.candidates import TRANSFORMER, item_text
from models.dataset import Candidate
from models.pretrained import text_encoder_source
from models.settings import CandidateSettings

Floats = NDArray[np.float32]
BATCH = 256


class TransformerEncoder:
    """Texts as unit vectors by a sentence transformer."""

    def __init__(self, model: Any, name: str) -> None:  # noqa: ANN401  sentence-transformers is untyped
        self.model, self.name = model, name
        self.encoder = f"{name}, tuned this night"

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Return vectors of length 1, shape (texts, width)."""
        vectors = self.model.encode(
            list(texts), batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)

    def encode_queries(self, queries: Sequence[str]) -> Floats:
        """Return the vectors of searches."""
        return self.encode_texts(queries)

    def encode_items(self, items: Sequence[Candidate]) -> Floats:
        """Return the vectors of items."""
        return self.encode_texts([item_text(item) for item in items])

    def save(self, folder: Path) -> None:
        """Write the model as safetensors and JSON; nothing is pickled."""
        self.model.save_pretrained(str(folder / TRANSFORMER), create_model_card=False)
        (folder / TRANSFORMER / "name.txt").write_text(self.name)


def load_transformer(checkpoint: Path, device: str) -> TransformerEncoder:
    """Return the encoder of a checkpoint."""
    from sentence_transformers import SentenceTransformer

    folder = checkpoint / TRANSFORMER
    model = SentenceTransformer(str(folder), device=device, local_files_only=True)
    return TransformerEncoder(model, (folder / "name.txt").read_text())


def wanted_transformer(settings: CandidateSettings, device: str) -> TransformerEncoder | None:
    """Return the pretrained encoder to tune, or None where the static one is trained; says why."""
    if settings.encoder == "static" or (settings.encoder == "auto" and not device.startswith("cuda")):
        return None
    source = text_encoder_source(settings.text_encoder)
    if source is None:
        print(f"the weights of {settings.text_encoder} are not at hand: a static encoder is trained")
        return None
    from sentence_transformers import SentenceTransformer

    return TransformerEncoder(SentenceTransformer(source, device=device), settings.text_encoder)
