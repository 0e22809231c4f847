"""Building the serving bundle in the night: this night's candidates, earlier nights' fusion and ranker."""

from collections.abc import Sequence
from pathlib import Path

from models.candidates import CandidateEncoder
from models.dataset import Candidate
from models.encoders import MODALITIES
from models.fusion_scorer import load_scorer
from models.fusion_sum import WEIGHTS, Network
from models.pool_plan import MEMORY_SHARE, available_bytes
from models.ranker_fusion import FUSION_FOLDER
from models.serving import Scorer, load_any_ranker
from models.serving_onnx import export_onnx
from nightshift.checkpoint import read_state, sha256_of, whole_checkpoints
from nightshift.trainer import TrainerRun

KIND = "serving"


def serving_saved(run: TrainerRun) -> bool:
    """Return whether an attempt before this one has built the bundle."""
    return any(read_state(path).get("kind") == KIND for path in whole_checkpoints(run.folder.checkpoints))


def save_serving(run: TrainerRun, encoder: CandidateEncoder, items: Sequence[Candidate]) -> Path:
    """Return the checkpoint that is the bundle: what `Scorer.load` reads, and fusion as ONNX."""
    fusion, ranker = (_handed_over(run, night) for night in ("fusion", "ltr"))
    model = load_scorer(fusion) if fusion else None
    if model and sides_bytes(model.network, len(items)) > MEMORY_SHARE * available_bytes():
        print(f"fusion is left out: the sides of {len(items):,} items would not fit into memory")
        fusion = model = None
    if ranker and not fits(ranker, fusion):
        print("night 2's ranker is left out: it reads the score of another fusion model")
        ranker = None
    scorer = Scorer.build(encoder, items, model, load_any_ranker(ranker) if ranker else None)
    facts: dict[str, object] = {"path": scorer.timed_path, "text_path": scorer.text_path, "items": len(items)}

    def write(folder: Path) -> None:
        scorer.save(folder, fusion, ranker, facts)
        if model is not None:
            try:
                export_onnx(model.network.cpu(), folder)
            except (ImportError, RuntimeError) as error:
                print(f"no ONNX graph: {error}")  # the bundle is whole without it

    run.phase("checkpoint")
    path = run.save(0, write, kind=KIND, encoders={"text": encoder.encoder}, **facts)
    run.phase("load")
    return path


def sides_bytes(network: Network, items: int) -> float:
    """Return what holding and stacking the item sides takes."""
    return 2 * 4.0 * items * sum(width for m in MODALITIES for _, width in network.item_widths(m))


def fits(ranker: Path, fusion: Path | None) -> bool:
    """Return whether the fusion model whose score night 2's ranker reads, if it reads one, is the bundle's."""
    own = ranker / FUSION_FOLDER / WEIGHTS
    return not own.exists() or (fusion is not None and sha256_of(own) == sha256_of(fusion / WEIGHTS))


def _handed_over(run: TrainerRun, night: str) -> Path | None:
    """Return the checkpoint that an earlier night handed over, or None."""
    folder = run.inputs.get(f"handoff.{night}")
    return folder / "checkpoint" if folder and (folder / "checkpoint").is_dir() else None
