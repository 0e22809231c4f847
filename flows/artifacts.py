"""What the Prefect UI shows of a night: progress, tables, the report."""

from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from nightshift.instant import boottime_s
from nightshift.rundir import RunDir
from tasks.handoff import read_handoff
from tasks.night_status import StageStatus
from tasks.night_words import values_told
from verdict.finding import read_verdict
from verdict.seal import Seal

UPDATE_EVERY_S = 5.0


class StageProgress:
    """One progress bar in the UI, updated in place."""

    def __init__(self, run: RunDir, stage: str) -> None:
        self.key = f"{run.path.name}-{stage}-progress"
        self.artifact: UUID | None = None
        self.shown_s = 0.0

    def show(self, stage: StageStatus) -> None:
        """Show how far a stage is, at most every five seconds, and always its end."""
        now_s = boottime_s()
        if not stage.ending and now_s - self.shown_s < UPDATE_EVERY_S:
            return
        self.shown_s = now_s
        try:
            self._show(
                100.0 * stage.done, f"{stage.title}: {values_told(stage) or stage.phase or 'starting'}"
            )
        except httpx.HTTPError as error:
            get_run_logger().warning("The UI could not be told how far %s is: %s", stage.title, error)

    def _show(self, done: float, description: str) -> None:
        if self.artifact is None:
            created = create_progress_artifact(progress=done, key=self.key, description=description)
            self.artifact = created if isinstance(created, UUID) else None
        else:
            update_progress_artifact(self.artifact, progress=done, description=description)


def publish_plan(seal: Seal) -> None:
    """Show the night's timetable as a table."""
    table = seal.timetable()
    rows = [
        {
            "stage": slot.stage.title,
            "from": f"{slot.start.astimezone(table.zone):%H:%M}",
            "to": f"{slot.end.astimezone(table.zone):%H:%M}",
            "elastic": "yes" if slot.stage.elastic else "",
        }
        for slot in table.slots
    ]
    create_table_artifact(
        table=rows, key=f"{seal.night.name}-plan", description=f"{seal.night.title}, {seal.date}"
    )


def publish_verdict(run: RunDir) -> None:
    """Show the criteria as a table and the report as Markdown."""
    verdict, handoff = read_verdict(run), read_handoff(run)
    rows = [
        {
            "criterion": str(finding.name),
            "asked": finding.asked,
            "state": str(finding.state),
            "value": "" if finding.value is None else f"{finding.value:.4f}",
            "required": "yes" if finding.required else "",
            "reason": finding.reason,
        }
        for finding in verdict.criteria
    ]
    night = handoff.night if handoff else run.path.name
    create_table_artifact(
        table=rows, key=f"{night}-criteria", description=f"{verdict.word}: {verdict.sentence}"
    )
    if run.report_markdown.exists():
        create_markdown_artifact(
            markdown=run.report_markdown.read_text(), key=f"{night}-report", description=str(run.report_html)
        )
