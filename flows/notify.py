"""Notices and events that flows send: through a Prefect block where one is named, else as the nightwatch does."""

import inspect
import os
from pathlib import Path

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.events import emit_event
from prefect.utilities.asyncutils import run_coro_as_sync

from tasks.notices import Deliver, Notice, channels, send, through_apprise

BLOCK = "NIGHTSHIFT_NOTIFY_BLOCK"
"""Environment variable that names a notification block, like `slack-webhook/night`."""
BEDTIME_ACT, RESTARTED, VERDICT = "nightshift.bedtime.act", "nightshift.stage.restarted", "nightshift.verdict"


def through_block(name: str) -> Deliver:
    """Return what delivers through this block."""

    def deliver(title: str, text: str) -> bool:
        try:
            block = Block.load(name)
            if not isinstance(block, NotificationBlock):
                return False
            sending = block.notify(text, title)
            if inspect.iscoroutine(sending):  # blocks of before Prefect 3.4 are asynchronous
                run_coro_as_sync(sending)
        except Exception as error:  # noqa: BLE001  each block raises errors of its own; the notice is tried again
            print(f"notices: {name}: {error}")
            return False
        return True

    return deliver


def tell(folder: Path, notice: Notice) -> None:
    """Send a notice once, where a block or an address is set."""
    block = os.environ.get(BLOCK)
    if block:
        send(folder, notice, through_block(block), pauses_s=(2.0, 5.0))
    elif channels():
        send(folder, notice, through_apprise(channels()), pauses_s=(2.0, 5.0))


def emit(event: str, night: str, run_dir: Path, **payload: object) -> None:
    """Put an event into Prefect's feed, for automations: `nightshift.*`, about one night."""
    resource = {
        "prefect.resource.id": f"nightshift.night.{run_dir.parent.name}.{run_dir.name}",
        "prefect.resource.name": night,
    }
    emit_event(event, resource, payload=dict(payload))
