"""Automations that a Prefect server needs for Nightshift; installed by `nightshift automations`, again without harm."""

import os
from collections.abc import Sequence
from datetime import timedelta

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, DoNothing, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from flows.notify import BEDTIME_ACT, BLOCK
from nightshift.states import NightError

HEARTBEAT = "prefect.flow-run.heartbeat"
SILENT = timedelta(minutes=10)
"""More than three of Prefect's heartbeats at their default of 180 s."""
ZOMBIE, ACT = "nightshift: a flow run that died", "nightshift: bedtime says ACT"


def shipped(notify: Sequence[ActionTypes]) -> list[AutomationCore]:
    """Return the automations; `notify` is what to do when a person must act."""
    return [
        AutomationCore(
            name=ZOMBIE,
            description="A flow run without heartbeat is set to Crashed. Its night goes on: the nightwatch owns it.",
            tags=["nightshift"],
            trigger=EventTrigger(
                after={HEARTBEAT},
                expect={"prefect.flow-run.*"},
                match={"prefect.resource.id": "prefect.flow-run.*"},  # type: ignore[arg-type]
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=SILENT,
            ),
            actions=[
                ChangeFlowRunState(
                    name="Crashed",
                    state=StateType.CRASHED,
                    message="no heartbeat for 10 minutes; the night itself goes on",
                    force=False,
                )
            ],
        ),
        AutomationCore(
            name=ACT,
            description="The bedtime check found something that will cost the night.",
            tags=["nightshift"],
            trigger=EventTrigger(
                expect={BEDTIME_ACT}, posture=Posture.Reactive, threshold=1, within=timedelta(0)
            ),
            actions=list(notify) or [DoNothing()],
        ),
    ]


def notification() -> list[ActionTypes]:
    """Return what tells a person, through the block that `NIGHTSHIFT_NOTIFY_BLOCK` names; nothing without one.

    Raises NightError where there is no such block.
    """
    name = os.environ.get(BLOCK)
    if not name:
        return []
    try:
        block = Block.load(name)
        assert isinstance(block, Block)
    except ValueError as error:
        raise NightError(f"{BLOCK}={name}: Prefect has no such block: {error}") from error
    document = block._block_document_id
    assert document is not None
    body = "{{ event.payload.action }}"
    return [SendNotification(block_document_id=document, subject="Nightshift: ACT", body=body)]


def install() -> list[tuple[str, str]]:
    """Return (name, installed or replaced) of every automation, now on the server."""
    done = []
    with get_client(sync_client=True) as client:
        for automation in shipped(notification()):
            there = client.read_automations_by_name(automation.name)
            for old in there:
                if old.id is not None:
                    client.delete_automation(old.id)
            client.create_automation(automation)
            done.append((automation.name, "replaced" if there else "installed"))
    return done
