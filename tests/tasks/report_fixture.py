"""Run directories as the night's own writers leave them, one per word, for tests of the report."""

import json
import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from nightshift.checkpoint import sha256_of, write_atomically, write_checkpoint
from nightshift.events import append_line
from nightshift.rundir import RunDir
from nightshift.states import CriterionState, Ending, Metric, Word
from schedules.clock import ManualClock
from schedules.plan import Night
from schedules.plan_source import read_plan
from schedules.timetable import timetable
from tasks.handoff import hand_over
from tasks.night_status import HANDED_OVER, NightStatus, StageStatus
from verdict.finding import Finding, ModalityFinding, Verdict
from verdict.ledger import Ledger
from verdict.seal import Seal, SealedData, SealedWindow, write_seal

DAY = date(2026, 11, 23)
PLAN = Path(__file__).parents[2] / "schedules" / "nights.toml"
NONCE = "5e1f" * 8
MET, MISSED = CriterionState.MET, CriterionState.MISSED
NOT_MEASURED, INVALID = CriterionState.NOT_MEASURED, CriterionState.INVALID

REASONS_TO_STOP = ["2 queries stand in train and in test, 'q-0041' among them"]
LATENCY = {"p50_ms": 0.11, "p95_ms": 0.17, "p95_upper_ms": 0.19, "p99_ms": 0.24}
SENTENCES = {
    Word.GO: (
        "All that was required is met: gain in nDCG@10 +0.0521 [+0.0334, +0.0708]; inference 0.19 ms.",
        "Take the weights from the hand-over folder (1 min) and start the next night (0 min of yours).",
    ),
    Word.NO_GAIN: (
        "Measured honestly, and missed: gain in nDCG@10 +0.0082 [-0.0091, +0.0255].",
        "Read the worst queries in the hand-over's analysis.json (15 min) before another night (8 h).",
    ),
    Word.PAUSE_AND_FIX: (
        "The gain in nDCG@10 cannot be believed: saturated: V1.0 already scores 1.0000, "
        "so a gain of 0.05 cannot be measured.",
        "Label a harder test set: the labels leave nothing to gain (some hours of labelling, no GPU).",
    ),
    Word.STOP: (
        f"Nothing of this night may be used: {REASONS_TO_STOP[0]}.",
        "Find out what changed (10 min), restore it, and run the night again (8 h).",
    ),
}


def finding(name: Metric, asked: str, state: CriterionState, reason: str, *figures: float) -> Finding:
    """Return a finding; `figures` are value, low, high, n as far as given."""
    named = dict(zip(("value", "low", "high", "n"), figures, strict=False))
    required = name in (Metric.VALIDATION_NDCG, Metric.INFERENCE_MS, Metric.CANDIDATE_RECALL_AT_100)
    return Finding(name=name, required=required, asked=asked, state=state, reason=reason, **named)


def _gain(word: Word) -> Finding:
    name, asked = Metric.VALIDATION_NDCG, "> 0.03"
    if word is Word.PAUSE_AND_FIX:
        reason = "saturated: V1.0 already scores 1.0000, so a gain of 0.05 cannot be measured"
        return Finding(name=name, required=True, asked=asked, state=INVALID, reason=reason, n=120)
    if word is Word.NO_GAIN:
        reason = "gain in nDCG@10 +0.0082, 95 % [-0.0091, +0.0255]; asked was more than +0.03"
        return finding(name, asked, MISSED, reason, 0.0082, -0.0091, 0.0255, 131)
    reason = "gain in nDCG@10 +0.0521, 95 % [+0.0334, +0.0708]; proven above 0.03"
    return finding(name, asked, MET, reason, 0.0521, 0.0334, 0.0708, 131)


def criteria(word: Word) -> tuple[Finding, ...]:
    """Return the five criteria of the first night, judged so that `word` follows."""
    timing = "P95 0.17 ms over 1,000 distinct requests (vectors of query and items to scores, 30 candidates)"
    loss = (
        "loss 0.0412 (a constant scorer has 0.1000), 71% of pairs beyond the margin, "
        "held-out pair accuracy 0.874 [0.858, 0.890]"
    )
    labels = "the data has no labels of hard constraints (`complies`)"
    return (
        _gain(word),
        finding(Metric.INFERENCE_MS, "< 2", MET, timing, 0.19, 0.11, 0.24, 1000),
        finding(Metric.COMPLIANCE_AT_1, "loses at most 0.02", NOT_MEASURED, labels),
        Finding(
            name=Metric.TRAINING_LOSS,
            required=False,
            asked="< 0.1",
            state=MET,
            reason=loss,
            value=0.0412,
            n=131,
        ),
        finding(Metric.GPU_UTILISATION_PCT, "> 80", NOT_MEASURED, "this machine has no GPU"),
    )


def verdict(word: Word) -> Verdict:
    """Return a whole verdict of a ranking night."""
    rng = np.random.default_rng(7)
    mean = {Word.NO_GAIN: 0.0082, Word.PAUSE_AND_FIX: 0.0}.get(word, 0.0521)
    gains = rng.normal(mean, 0.11, 131) * (rng.random(131) > 0.18)
    sentence, next_step = SENTENCES[word]
    test = {"n": 131, "ndcg_at_10": 0.798 + mean, "ndcg_at_10_v1": 0.798, "gain": mean, "left_out": 2}
    test |= {"gain_low": mean - 0.0187, "gain_high": mean + 0.0187, "skew": 0.4}
    test["seeds"] = [{"seed": 11, "ndcg_at_10": 0.8501, "gain": mean}]
    validation = test | {"n": 60, "selection_score": 0.8688}
    return Verdict(
        word=word,
        sentence=sentence,
        next_step=next_step,
        criteria=criteria(word),
        checkpoint="stages/train/checkpoints/step-000120",
        scores={"validation": validation, "test": test},
        modalities={
            "image": ModalityFinding(state="NOT USED", drop=0.0012, low=-0.004, high=0.0064),
            "text": ModalityFinding(state="USED", drop=0.214, low=0.181, high=0.247),
            "attributes": ModalityFinding(state="NOT SHOWN", drop=0.011, low=-0.003, high=0.025),
        },
        encoders={"text": "all-MiniLM-L6-v2 (frozen)", "image": "CNN from scratch, 64-d"},
        findings=REASONS_TO_STOP if word is Word.STOP else [],
        warnings=[
            "one seed: how much the gain varies between seeds is not known",
            "the plan claims image, but its use is NOT USED",
        ],
        per_query_gains=[round(float(gain), 6) for gain in gains],
        latency=LATENCY | {"calls": 1000, "path": "vectors to scores"},
        loss_facts={"loss": 0.0412, "beyond_margin": 0.71, "constant_scorer": 0.1, "pairs": 48213},
    )


def candidates_verdict() -> Verdict:
    """Return a verdict with pools and nothing of a ranker."""
    reason = "gain in recall@100 over plain text search +0.0710, 95 % [+0.0420, +0.1000]; proven above 0"
    figures = {"Flat": (1.0, 0.3), "IVF,SQ8": (0.98, 0.2), "HNSW": (0.999, 0.16)}
    rows = [
        {"size": size, "index": index, "recall_at_100": recall, "p95_ms": slow * size / 10_000, "skipped": ""}
        | {"jittered_share": 0.0 if size == 10_000 else 0.9, "predicted_s": 1.0}
        for size in (10_000, 100_000)
        for index, (recall, slow) in figures.items()
    ]
    rows.append(
        {"size": 1_000_000, "index": "HNSW", "recall_at_100": 0.0, "p95_ms": 0.0, "skipped": "too slow"}
    )
    return Verdict(
        word=Word.GO,
        sentence="All that was required is met: gain in recall@100 +0.0710 [+0.0420, +0.1000]; inference 0.24 ms.",
        next_step="Take the weights from the hand-over folder (1 min) and start the next night (0 min of yours).",
        criteria=(finding(Metric.CANDIDATE_RECALL_AT_100, "> 0", MET, reason, 0.071, 0.042, 0.1, 131),),
        pools=rows,
    )


def make_seal(home: Path, night: str, speed: float = 1.0) -> Seal:
    """Return the seal of one of the mission's nights, on no data in particular."""
    plan = read_plan(PLAN).model_copy(update={"timezone": "Europe/Berlin"})
    chosen: Night = next(item for item in plan.nights if item.name == night)
    window = timetable(plan, chosen, DAY).window
    data = {"kind": "multimodal", "name": "mm_grocery <b>", "origin": "x", "splits": {}, "images": None}
    data |= {"facts": {"queries": 434.0, "limits": "labels by one person"}, "set_aside": {"missing_image": 3}}
    return Seal(
        night=chosen,
        plan=plan,
        date=DAY,
        timezone=plan.timezone,
        window=SealedWindow(start=window.start, hand_over=window.hand_over),
        speed=speed,
        clock=None,
        data=SealedData.model_validate(data),
        handoffs={},
        home=str(home),
        plan_dir=str(home),
        device="cpu",
        seed=11,
        nonce=NONCE,
        judge_sha256="0" * 64,
        silence_s=60,
        costs={},
    )


def write_night(home: Path, judged: Verdict, night: str = "fusion", speed: float = 1.0) -> RunDir:
    """Return the folder of a finished night with this verdict, all but the report written."""
    run = RunDir.create(home, DAY.isoformat(), night)
    seal = make_seal(home, night, speed)
    write_seal(seal, run)
    clock = ManualClock(seal.window.start)
    ledger = Ledger(run.ledger, NONCE, clock)
    ledger.write("night-opened", seal_sha256=sha256_of(run.seal))
    status = write_stages(run, seal, ledger)
    run.judge.mkdir()
    write_atomically(run.verdict, judged.model_dump_json())
    ledger.write("judged", verdict_sha256=sha256_of(run.verdict), judge_s=11.0)
    at = seal.window.hand_over - timedelta(minutes=4)
    clock.wait_until(at)
    endings = {stage.name: stage.ending for stage in status.stages}
    handoff = hand_over(run, seal, endings, seal.window.hand_over, at, ledger.head)
    ledger.write("handed-over", handoff_sha256=sha256_of(run.handoff), word=handoff.word)
    status.state, status.handed_over_at = HANDED_OVER, at.isoformat()
    status.write(run.status, at)
    return run


def write_stages(run: RunDir, seal: Seal, ledger: Ledger) -> NightStatus:
    """Return the status of the night after its stages: the elastic one was restarted and cut at its end."""
    table = seal.timetable()
    status = NightStatus(
        night=seal.night.name,
        title=seal.night.title,
        date=str(seal.date),
        run_dir=str(run.path),
        hand_over=seal.window.hand_over.isoformat(),
        speed=seal.speed,
        gpu="no NVIDIA GPU: NVML Shared Library Not Found",
        stages=[StageStatus.planned(slot) for slot in table.slots],
    )
    for slot, stage in zip(table.slots, status.stages, strict=True):
        start = slot.start + timedelta(minutes=1)
        end = min(slot.end, seal.window.hand_over - timedelta(minutes=20)) - timedelta(minutes=3)
        stage.start, stage.end = start.isoformat(), end.isoformat()
        stage.ending = Ending.STOPPED_AT_DEADLINE if slot.stage.elastic else Ending.FINISHED
        stage.restarts = 1 if slot.stage.elastic else 0
        _write_trainer(run, slot.stage.name, start, end, slot.stage.elastic)
        attempt = {"pid": 1, "start": stage.start, "end": stage.end, "exit_code": 0}
        record = {"ending": stage.ending, "attempts": [attempt] * (1 + stage.restarts), "notes": []}
        write_atomically(run.stage(stage.name).exit, json.dumps(record))
        ledger.write("stage-ended", stage=stage.name, ending=stage.ending)
    text = "Fusion training: killed by SIGKILL; started again from step-000080"
    status.note(table.slots[0].end + timedelta(hours=2, minutes=14), text)
    return status


def _write_trainer(run: RunDir, stage: str, start: datetime, end: datetime, trains: bool) -> None:
    folder = run.stage(stage)
    folder.out.mkdir(parents=True)
    if not trains:
        return
    for step in range(120):
        at = (start + (end - start) * step / 120).astimezone(UTC).isoformat()
        share = step / 120
        values = {"loss": 0.1 * math.exp(-2.2 * share) + 0.02 + 0.004 * math.sin(step)}
        if step % 6 == 5:
            values |= {"val_ndcg_at_10": 0.86 - 0.12 * math.exp(-5 * share), "val_ndcg_at_10_v1": 0.8}
        append_line(folder.events, {"kind": "metrics", "at": at, "step": step, "values": values})
    write_checkpoint(
        folder.checkpoints,
        120,
        lambda aside: (aside / "model.safetensors").write_bytes(b"w" * 4096) and None,
        {"kind": "fusion", "selection_score": 0.8688},
        NONCE,
    )
