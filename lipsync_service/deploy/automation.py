"""The automation that has Prefect mark a run as crashed if its process and its worker have both vanished."""

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from lipsync_service.names import GPU_FLOW, JOB_FLOW

NAME = "lipsync: a run that fell silent has crashed"
#: Three heartbeats at Prefect's shortest interval, 30 s.
HEARTBEAT_LIMIT = timedelta(seconds=90)
_HEARTBEAT = "prefect.flow-run.heartbeat"
_ENDS = ("Completed", "Failed", "Cancelled", "Crashed")


def ensure_automation(client: SyncPrefectClient) -> None:
    """Register the automation, or update the registered one.

    An automation that is up to date is not touched: an update would forget the runs that are already silent.
    """
    wanted = _silent_runs_have_crashed()
    known = client.read_automations_by_name(NAME)
    if not known:
        client.create_automation(wanted)
    elif _content(known[0]) != _content(wanted):
        client.update_automation(known[0].id, wanted)
    for duplicate in known[1:]:  # from two registrations at the same time
        client.delete_automation(duplicate.id)


def _content(automation: AutomationCore) -> dict[str, object]:
    """The definition of an automation, without the ids that the server gave it."""
    return automation.model_dump(include=set(AutomationCore.model_fields), exclude={"trigger": {"id"}})


def _silent_runs_have_crashed() -> AutomationCore:
    """Marks a run as crashed if no heartbeat and no end follows its last heartbeat within `HEARTBEAT_LIMIT`."""
    return AutomationCore(
        name=NAME,
        description="A run's process sends a heartbeat every 30 s; the watcher starts crashed jobs again.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": "flow", "prefect.resource.name": [JOB_FLOW, GPU_FLOW]}
            ),
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *(f"prefect.flow-run.{name}" for name in _ENDS)},
            for_each={"prefect.resource.id"},
            threshold=1,
            within=HEARTBEAT_LIMIT,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="It fell silent: its worker has vanished")],
    )
