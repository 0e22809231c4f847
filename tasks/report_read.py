"""One run directory in, one report out; a missing or broken file is said, and never stops it."""

import json
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from models.stage_best import CHOICE
from nightshift.instant import parse_utc
from nightshift.rundir import RunDir
from tasks.report_chain import Chain, check_chain
from tasks.report_curves import read_curves
from tasks.report_gpu import gpu_facts
from tasks.report_model import DataReport, NightEvent, NightReport
from tasks.report_records import ChoiceRecord, HandoffRecord, RunFiles, SealRecord, StatusRecord
from tasks.report_seconds import seconds_report
from tasks.report_stages import read_stages
from tasks.report_word import answer_of
from verdict.criteria import not_measured
from verdict.finding import Finding, Verdict

Fields = dict[str, object]


def read_report(run: RunDir) -> NightReport:
    """Return the report of this run directory as it stands."""
    files = RunFiles(run.path)
    seal = files.read(run.seal, SealRecord)
    status = files.read(run.status, StatusRecord)
    handoff = files.read(run.handoff, HandoffRecord, needed=False)
    verdict = files.read(run.verdict, Verdict, needed=handoff is not None)
    stages = read_stages(run, files, seal, status, ended=handoff is not None)
    chain = check_chain(run, seal.nonce, handoff.ledger_head) if seal and handoff else Chain()
    gaps = [*files.gaps, *chain.gaps]
    answer = answer_of(run, verdict, handoff, status, chain, gaps)
    believed = verdict or Verdict(word=answer.word, sentence="", next_step="")
    curves, odd_values = read_curves(run, [stage.name for stage in stages])
    zone, odd_zone = _zone(seal.timezone if seal else "UTC")
    told, aside = status.gpu if status else "", _set_aside(seal)
    seconds = seconds_report(run, seal, _deadline(seal, status, handoff))
    fields = _judged(believed) | _handed_over(handoff) | _sealed(run, seal)
    return NightReport.model_validate(
        fields
        | {
            "word": answer.word,
            "sentence": answer.sentence,
            "next_step": answer.next_step,
            "deadline": _deadline(seal, status, handoff),
            "decoy": chain.decoy,
            "stages": stages,
            "criteria": (*believed.criteria, *_unanswered(seal, believed)),
            "findings": tuple(dict.fromkeys([*chain.stop, *gaps, *believed.findings])),
            "warnings": (
                *chain.warnings,
                *_evening(seal),
                *believed.warnings,
                *aside,
                *odd_values,
                *odd_zone,
            ),
            "events": _events(run, status),
            "curves": curves,
            "timezone": zone,
            "gpu": told,
            "gpu_use": gpu_facts(run, stages, told, seal, seconds),
            "anchored": chain.anchored,
            "seconds": seconds,
        }
        | _choice(run, files, [stage.name for stage in stages])
    )


def _sealed(run: RunDir, seal: SealRecord | None) -> Fields:
    """Return what the seal says of the night, or what the folder's place says where there is none."""
    place: Fields = {"run_dir": str(run.path), "report": str(run.report_html)}
    if seal is None:
        return place | {"night": run.path.name, "title": run.path.name, "date": run.path.parent.name}
    return place | {
        "night": seal.night.name,
        "title": seal.night.title,
        "date": seal.date,
        "speed": seal.speed,
        "window_start": seal.window.start,
        "evening": seal.preflight.sentence if seal.preflight else "",
        "evening_lines": seal.preflight.lines if seal.preflight else (),
        "data": DataReport(name=seal.data.name, kind=seal.data.kind, facts=seal.data.facts),
    }


def _choice(run: RunDir, files: RunFiles, stages: Sequence[str]) -> Fields:
    """Return what the latest stage that had a choice has tried, and what it chose."""
    for name in reversed(stages):
        choice = files.read(run.stage(name).out / CHOICE, ChoiceRecord, needed=False)
        if choice is not None:
            rows = [
                {"design": row.words, "validation_ndcg_at_10": row.ndcg_at_10, "seeds": len(row.seeds) or 1}
                for row in choice.ablation
            ]
            return {"ablation": rows, "chosen": f"{choice.words}: {choice.why}"}
    return {}


def _judged(verdict: Verdict) -> Fields:
    return {
        "scores": verdict.scores,
        "modalities": verdict.modalities,
        "pools": verdict.pools,
        "encoders": verdict.encoders,
        "per_query_gains": verdict.per_query_gains,
        "loss_facts": verdict.loss_facts,
        "latency": verdict.latency,
    }


def _unanswered(seal: SealRecord | None, verdict: Verdict) -> list[Finding]:
    """Return NOT_MEASURED for every sealed criterion that the verdict, if any, is silent on."""
    answered = {finding.name for finding in verdict.criteria}
    asked = seal.night.criteria if seal else ()
    why = "the judge gave no answer" if verdict.sentence else "the night was not judged"
    return [not_measured(one, why) for one in asked if one.metric not in answered]


def _handed_over(handoff: HandoffRecord | None) -> Fields:
    if handoff is None:
        return {}
    return {
        "handed_over_at": handoff.handed_over_at,
        "on_time": handoff.on_time,
        "handed_over": handoff.files,
        "ledger_head": handoff.ledger_head,
    }


def _deadline(
    seal: SealRecord | None, status: StatusRecord | None, handoff: HandoffRecord | None
) -> datetime | None:
    """Return the hand-over's time by the latest source that names it; it may have been moved."""
    if handoff and handoff.deadline:
        return handoff.deadline
    if status and status.hand_over:
        return status.hand_over
    return seal.window.hand_over if seal else None


def _evening(seal: SealRecord | None) -> list[str]:
    """Return what was already known at the start, where it speaks against an answer."""
    found = seal.preflight if seal else None
    return [found.sentence] if found and not found.can_answer and found.sentence else []


def _set_aside(seal: SealRecord | None) -> list[str]:
    counts = seal.data.set_aside if seal else {}
    return [
        f"{count} items of the data were set aside: {kind.replace('_', ' ')}"
        for kind, count in counts.items()
    ]


def _events(run: RunDir, status: StatusRecord | None) -> tuple[NightEvent, ...]:
    """Return what happened, in order; faults that a rehearsal was given are named among it."""
    notes = status.notes if status else ()
    told = [NightEvent(at=note.at, text=note.text) for note in notes if note.at]
    try:
        given = json.loads(run.injected.read_text())
        told += [
            NightEvent(at=parse_utc(one["at"]), text=f"Given to this rehearsal: {one['fault']}")
            for one in given
        ]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # a night without faults has no such file
    return tuple(sorted(told, key=lambda event: event.at))


def _zone(name: str) -> tuple[str, list[str]]:
    """Return a zone that this machine knows, and a warning where it is not the night's own."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC", [f"times are UTC: the zone {name!r} is not known on this machine"]
    return name, []
