"""What the sampler saw of the GPU over the whole night."""

from collections.abc import Sequence

from nightshift.rundir import RunDir
from nightshift.states import Metric
from tasks.gpu_companions import companions, gaps_between
from tasks.gpu_diagnosis import spent_between
from tasks.gpu_words import words, work_facts
from tasks.night_seconds import Spent
from tasks.report_model import Facts, SecondsReport, StageReport
from tasks.report_records import SealRecord
from verdict.utilisation import read_samples, utilisation


def gpu_facts(
    run: RunDir, stages: Sequence[StageReport], told: str, seal: SealRecord | None, seconds: SecondsReport
) -> Facts:
    """Return samples and busy share from first start to last end, or the reason for none.

    `told` is the nightwatch's word on the GPU: its name, or why there is none.
    """
    try:
        samples = read_samples(run.gpu_samples)
    except (OSError, ValueError):
        return {"reason": "gpu.jsonl cannot be read"}
    starts = [stage.start for stage in stages if stage.start]
    ends = [stage.end for stage in stages if stage.end]
    if not samples or not starts or not ends:
        found = seal is not None and bool(seal.gpus)
        return {"reason": "never sampled"} if found else {"reason": told or "not known"}
    start, end, speed = min(starts), max(ends), seal.speed if seal else 1.0
    use = utilisation(samples, start, end, speed, seal.gpus if seal else ())
    if use is None:
        return {"reason": "no sample of every GPU falls into the stages"}
    criteria = seal.night.criteria if seal else ()
    asked = [c.above for c in criteria if c.metric is Metric.GPU_UTILISATION_PCT and c.above]
    pieces = [(begin, end, Spent(spent)) for begin, end, spent in seconds.pieces]
    idle = bool(asked) and use.high_pct < asked[0]
    gaps = gaps_between(run.gpu_samples, start, end, speed)
    work = work_facts(run, stages, speed)
    used_share = work.get("mfu")
    reading = words(
        use,
        gaps,
        (end - start).total_seconds() / speed,
        spent_between(pieces, start, end),
        used_share if isinstance(used_share, float) else None,
    )
    return (
        ({"reading": reading} if reading else {})
        | {
            "samples": use.samples,
            "busy_low_pct": round(use.low_pct, 1),
            "busy_high_pct": round(use.high_pct, 1),
            "coverage": round(use.coverage, 3),
        }
        | work
        | companions(run.gpu_samples, start, end, gaps, pieces, idle)
    )
