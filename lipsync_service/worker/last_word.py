"""Only the attempt that holds a run tells Prefect how the run ended.

A process that was paused for longer than its heartbeats may be missing comes back to a run that has gone on without it:
it is crashed, waits for its next attempt, is at work elsewhere, or has ended. By itself Prefect's engine (3.8.8) would
then report its own end as the run's, and its crash even over `Completed`, by force.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.exceptions import Abort

Propose = Callable[..., State[Any]]


class LastWord:
    """Stands before Prefect's proposals of states in a run's process.

    The id of the state `Running` that this process was given is its hold on the run: any other state has another id.
    """

    def __init__(self, propose: Propose) -> None:
        self._propose = propose
        self._running_ids: dict[UUID, UUID] = {}  # by run

    def __call__(
        self, client: SyncPrefectClient, state: State[Any], flow_run_id: UUID, force: bool = False
    ) -> State[Any]:
        """Propose `state`, as Prefect does.

        Raises:
            Abort: the run has gone on without this process, which must end and leave its state as it is.
        """
        if state.is_final() and flow_run_id in self._running_ids:
            self._require_hold(client, flow_run_id)
        given = self._propose(client, state, flow_run_id=flow_run_id, force=force)
        if given.is_running():
            self._running_ids[flow_run_id] = given.id
        return given

    def _require_hold(self, client: SyncPrefectClient, run_id: UUID) -> None:
        now = client.read_flow_run(run_id).state
        if now is not None and now.id != self._running_ids[run_id] and not now.is_cancelling():
            raise Abort(f"the run has gone on without this attempt: it is {now.name}")
