"""The metric that a plan names as the person's own: put through the controls, at 23:00 and in the morning."""

from pathlib import Path

from nightshift.checkpoint import sha256_of
from verdict.metric_function import check_metric
from verdict.reasons import Reason, pause, stop
from verdict.scorebook import ScoreBook
from verdict.seal import Seal

MEND = "Mend the function, then run `nightshift audit` on it (1 min)."


def metric_reasons(spec: str, where: Path) -> list[Reason]:
    """Return why what a person's metric says must not be believed; empty where every control holds."""
    check = check_metric(spec, where)
    if not check.ran:
        return [pause(f"the metric {spec} could not be run: {check.failures[0]}", MEND)]
    return [stop(f"the metric {spec} is not one: {check.failures[0]}", MEND)] if check.failures else []


def check_own_metric(seal: Seal, book: ScoreBook) -> list[Reason]:
    """Return what is wrong with the metric of this night's plan; nothing where it names none."""
    spec = seal.night.metric
    if spec is None:
        return []
    where = Path(seal.plan_dir)
    file = where / spec.partition(":")[0]
    digest = sha256_of(file) if file.is_file() else ""
    return book.once(("metric", spec, str(where), digest), lambda: metric_reasons(spec, where))
