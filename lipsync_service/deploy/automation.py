"""The automation that tells a run whose process and worker have both vanished: Prefect marks it as crashed."""

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from lipsync_service.names import GPU_FLOW, JOB_FLOW

NAME = "lipsync: a run that fell silent has crashed"
#: Three heartbeats of Prefect's shortest distance, 30 s.
SILENCE = timedelta(seconds=90)
_HEARTBEAT = "prefect.flow-run.heartbeat"
_ENDS = ("Completed", "Failed", "Cancelled", "Crashed")


def ensure_automation(client: SyncPrefectClient) -> None:
    """Register the automation, or bring the one that is there up to date.

    One that is as it should be is left alone: an update would forget which runs are silent already.
    """
    wanted = _silent_runs_have_crashed()
    known = client.read_automations_by_name(NAME)
    if not known:
        client.create_automation(wanted)
    elif _told_by(known[0]) != _told_by(wanted):
        client.update_automation(known[0].id, wanted)
    for double in known[1:]:  # two registrations at once
        client.delete_automation(double.id)


def _told_by(automation: AutomationCore) -> dict[str, object]:
    """What an automation does, whichever ids the server gave it."""
    return automation.model_dump(include=set(AutomationCore.model_fields), exclude={"trigger": {"id"}})


def _silent_runs_have_crashed() -> AutomationCore:
    """After a first heartbeat another one, or an end, has to follow in time."""
    return AutomationCore(
        name=NAME,
        description="A run's process sends a heartbeat every 30 s; the watcher has crashed jobs run again.",
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
            within=SILENCE,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="It fell silent: its worker has vanished")],
    )
