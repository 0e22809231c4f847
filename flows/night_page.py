"""The night in the Prefect UI while it runs: a table of its stages and a page, replaced in place."""

import json
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
from prefect import get_client, get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.client.schemas.actions import ArtifactUpdate

from nightshift.instant import boottime_s, parse_utc
from nightshift.rundir import RunDir
from tasks.night_status import NightStatus, StageStatus
from tasks.night_words import gpu_told, local, state_told, values_told

UPDATE_EVERY_S = 10.0
LATEST = 8


@dataclass
class NightPage:
    """Table and page of one night; a server that does not answer is asked again with the next change."""

    run: RunDir
    zone: str
    table: UUID | None = None
    markdown: UUID | None = None
    linked: bool = False
    shown_s: float = -UPDATE_EVERY_S
    ended: int = 0

    def show(self, status: NightStatus, last: bool = False) -> None:
        """Replace both, at most every ten seconds, where a stage has ended, and at the `last`."""
        ended = sum(bool(stage.ending) for stage in status.stages)
        if not last and ended == self.ended and boottime_s() - self.shown_s < UPDATE_EVERY_S:
            return
        self.shown_s, self.ended = boottime_s(), ended
        zone = ZoneInfo(self.zone)
        rows = [stage_row(stage, zone) for stage in status.stages]
        text = night_markdown(status, zone, self.run, self._mirror())
        try:
            self._replace(status, rows, text)
        except httpx.HTTPError as error:
            get_run_logger().warning("The UI could not be told how the night stands: %s", error)

    def _replace(self, status: NightStatus, rows: list[dict[str, str]], text: str) -> None:
        if self.table is None:
            told = f"{status.title}, {status.date}, stages as they stand"
            self.table = _id(create_table_artifact(rows, key=f"{status.night}-stages", description=told))
            self.markdown = _id(
                create_markdown_artifact(
                    text, key=f"{status.night}-now", description="the night as it stands"
                )
            )
        else:
            client = get_client(sync_client=True)
            client.update_artifact(self.table, ArtifactUpdate(data=json.dumps(rows)))
            if self.markdown:
                client.update_artifact(self.markdown, ArtifactUpdate(data=text))
        mirror = self._mirror()
        if mirror.startswith("http") and not self.linked:
            self.linked = True
            create_link_artifact(mirror, "Weights & Biases", key=f"{status.night}-wandb")

    def _mirror(self) -> str:
        return self.run.mirror.read_text() if self.run.mirror.is_file() else ""


def _id(created: object) -> UUID | None:
    return created if isinstance(created, UUID) else None


def stage_row(stage: StageStatus, zone: ZoneInfo) -> dict[str, str]:
    """Return a stage as a row of text: when, how far, in what state, its last values."""
    return {
        "stage": stage.title,
        "from": local(stage.start or stage.planned_start, zone),
        "to": local(stage.end or stage.deadline or stage.planned_end, zone),
        "done": f"{stage.done:.0%}",
        "state": state_told(stage),
        "restarts": str(stage.restarts or ""),
        "last values": values_told(stage),
    }


def night_markdown(status: NightStatus, zone: ZoneInfo, run: RunDir, mirror: str) -> str:
    """Return the night as Markdown: how long to hand-over, GPU, the latest events, where to look further."""
    if status.word:
        head = f"# {status.word}\n\n{status.sentence}\n"
    else:
        minutes = max(0, round((parse_utc(status.hand_over) - parse_utc(status.now)).total_seconds() / 60))
        head = (
            f"# {status.title}: {minutes // 60}:{minutes % 60:02d} h to hand-over\n\n"
            f"{local(status.now, zone)}, hand-over {local(status.hand_over, zone)}\n"
        )
    gpu = gpu_told(status)
    notes = [f"- {local(note.at, zone)} {_plain(note.text)}" for note in status.notes[-LATEST:]]
    links = [
        f"- Report in the morning: `{run.report_html}`",
        f"- In a terminal: `nightshift watch --run {run.path}`",
    ]
    if mirror:
        links.append(f"- Weights & Biases: {mirror if mirror.startswith('http') else _plain(mirror)}")
    return "\n".join(
        [
            head,
            f"GPU: {_plain(status.gpu or 'not known yet')}" + (f" ({gpu})" if gpu else ""),
            "",
            "## Latest",
            "",
        ]
        + (notes or ["- nothing to tell yet"])
        + ["", "## More", "", *links, ""]
    )


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is: no tags, no emphasis."""
    escaped = text.replace("\\", "\\\\")
    for sign in "*_`[]<>#|":
        escaped = escaped.replace(sign, "\\" + sign)
    return escaped
