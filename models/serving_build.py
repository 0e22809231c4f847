"""Building the serving bundle in the night: this night's candidates, earlier nights' fusion and ranker."""

from collections.abc import Sequence
from pathlib import Path

from models.candidates import CandidateEncoder
from models.dataset import Candidate
from models.fusion_scorer import load_scorer
from models.serving import Scorer, load_any_ranker
from models.serving_onnx import export_onnx
from nightshift.checkpoint import read_state, whole_checkpoints
from nightshift.trainer import TrainerRun

KIND = "serving"


def serving_saved(run: TrainerRun) -> bool:
    """Return whether an attempt before this one has built the bundle."""
    return any(read_state(path).get("kind") == KIND for path in whole_checkpoints(run.folder.checkpoints))


def save_serving(run: TrainerRun, encoder: CandidateEncoder, items: Sequence[Candidate]) -> Path:
    """Return the checkpoint that is the bundle: what `Scorer.load` reads, and fusion as ONNX."""
    fusion, ranker = (_handed_over(run, night) for night in ("fusion", "ltr"))
    model = load_scorer(fusion, run.device) if fusion else None
    scorer = Scorer.build(encoder, items, model, load_any_ranker(ranker) if ranker else None)
    facts: dict[str, object] = {"path": scorer.timed_path, "text_path": scorer.text_path, "items": len(items)}

    def write(folder: Path) -> None:
        scorer.save(folder, fusion, ranker, facts)
        if model is not None:
            export_onnx(model.network.cpu(), folder)

    run.phase("checkpoint")
    path = run.save(0, write, kind=KIND, encoders={"text": encoder.encoder}, **facts)
    run.phase("load")
    return path


def _handed_over(run: TrainerRun, night: str) -> Path | None:
    """Return the checkpoint that an earlier night handed over, or None."""
    folder = run.inputs.get(f"handoff.{night}")
    return folder / "checkpoint" if folder and (folder / "checkpoint").is_dir() else None
