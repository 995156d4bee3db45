"""Prefect's process worker, which hears of runs instead of asking for them, without two of its faults.

`python -m lipsync_service.worker.pool_worker worker start ...` has the options of `prefect worker start ...`.

Prefect's own worker (3.8.8) finds a run by its next poll, so it starts runs soon only if it polls often, and each poll
costs the server 20 ms or more. This one listens to the events of its pool and polls when a run has become due. Its
regular polls, seldom, find what it did not hear: while the stream is broken, a run starts later and is not lost.

With `--limit`, Prefect's own worker keeps a run's slot until it has cleaned up the run's process, up to some
seconds after the run has ended. If the run is due again before that (a user or the watcher retried it at once), it asks
for a second slot under the same name; this ends Prefect's worker with an error, and all its other runs.

A run that is cancelled while its process starts is not noticed by Prefect's own worker: the process ends, because its
run may not begin any more, and the run stays `Cancelling`.
"""

import logging
import os
import random
import sys
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import anyio
import httpx
from prefect.cli import app
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.context import refresh_global_settings_context
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled
from prefect.workers.process import ProcessWorker

from lipsync_core.errors import OptionError
from lipsync_service.names import WORKERS_PATH
from lipsync_service.settings import load_settings, require_source
from lipsync_service.worker.cancelling import CANCELLING_RUNS
from lipsync_service.worker.crash_report import may_report
from lipsync_service.worker.due_runs import DueRuns, spread_s
from lipsync_service.worker.few_heaps import keep_few_heaps
from lipsync_service.worker.run_events import RunEvent, run_events
from lipsync_service.worker.run_processes import WorkSeen, end_process, process_of
from lipsync_service.worker.stated_rules import state_rules
from lipsync_service.worker.trim_worker import remembered, trim_worker

if TYPE_CHECKING:
    from anyio.abc import TaskStatus
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.client.schemas.responses import WorkerFlowRunResponse
    from prefect.workers.process import ProcessJobConfiguration, ProcessWorkerResult

#: Settings of the worker itself: its regular polls, which look further ahead than they are apart (they vary by 30 %).
#: So a run that becomes due later, of which no event tells, starts in time.
_WORKER_SETTINGS: Final = {"PREFECT_WORKER_QUERY_SECONDS": "15", "PREFECT_WORKER_PREFETCH_SECONDS": "20"}
#: Settings of the worker's runs, which inherit its environment.
_RUN_SETTINGS: Final = {
    # A run without heartbeats has vanished. 30 s is the shortest interval that Prefect accepts, its default is 180.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    # Prefect's server answers 500 while its database is down, which must not fail a job.
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
    "PREFECT_CLIENT_MAX_RETRIES": "6",  # after 2, 4 ... 64 s: two minutes in all
    # Each client of a run, and it has three, would first ask for the server's version and for a token against forged
    # requests of browsers, which the server does not issue.
    "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
    "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
    # Seconds between two batches of log lines. By default every line but the first would be a batch of its own.
    "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "5",
}
_COUNT_EVERY_S = 300.0
_VOUCH_S = 30.0  # as often as a run sends its own heartbeats
_BUSY_DELAY_S = 0.2  # for a full worker: of several, those with free slots come first

_log = logging.getLogger(__name__)


async def follow(events: AsyncIterator[RunEvent | None], due: DueRuns, client: "PrefectClient") -> None:
    """Note which runs are due, and have the runs of this process cancelled that are to be; until the events end."""
    async for event in events:
        if event is None:
            CANCELLING_RUNS.forget()  # a run that has another state since then must not be cancelled
            due.ring()
            await _end_unwanted(client, CANCELLING_RUNS.under_way)
        elif event.is_cancelling:
            CANCELLING_RUNS.tell(event.run_id)
        elif event.is_crashed:
            if process_of(event.run_id) is not None:  # also of a worker of this host that was killed
                await _end_unwanted(client, [event.run_id])
        else:
            CANCELLING_RUNS.forget(event.run_id)
            (due.add if event.is_due else due.discard)(event.run_id)


async def _end_unwanted(client: "PrefectClient", run_ids: Collection[UUID]) -> None:
    """Ask which of the runs under way are to end, and end them: the events that say so may have been missed.

    A run that counts as crashed has a process that hangs, or was paused. The watcher starts the run again, and this
    worker's slot must not be held by what is left of it.
    """
    if not run_ids:
        return
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CANCELLING, StateType.CRASHED]))
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=list(run_ids)), state=states)
    try:
        runs = await client.read_flow_runs(flow_run_filter=chosen)
    except httpx.HTTPError as exc:  # asked again once the stream is open, or has failed again
        _log.info("not known which runs are to end: %s", exc)
        return
    for run in runs:
        if run.state_type is StateType.CANCELLING:
            CANCELLING_RUNS.tell(run.id)
        elif end_process(run.id):
            _log.warning("the run %s counts as crashed: its process was ended", run.id)


async def vouch(client: "PrefectClient", seen: WorkSeen) -> None:
    """Send a heartbeat for each run of this process that is at work.

    A run sends its own from a thread, which may come late: its processor is busy, its interpreter's lock is held, or
    the stream of its events is being opened again.
    """
    now = datetime.now(UTC).isoformat()
    events = [
        {
            "id": str(uuid4()),
            "occurred": now,
            "event": "prefect.flow-run.heartbeat",
            "resource": {"prefect.resource.id": f"prefect.flow-run.{run_id}"},
        }
        for run_id in seen.at_work(CANCELLING_RUNS.under_way)
    ]
    if not events:
        return
    try:
        await client.request("POST", "/events", json=events)
    except httpx.HTTPError as exc:
        _log.info("no heartbeats were sent: %s", exc)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # the class replaces Prefect's own on purpose

    class PoolWorker(ProcessWorker):
        """Polls when it hears of a run, leaves a run whose earlier attempt holds its slot, and ends cancelled runs."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._due = DueRuns(self._poll_seen, self._delay_s)
            self._seen: set[UUID] = set()  # the runs of the last poll
            self._has_left_some = False  # runs that found no slot
            self._is_listening = False
            self._others = 0  # workers of the same pool
            self._next_count_s = 0.0
            self._seen_at_work = WorkSeen()

        async def setup(self) -> None:
            """Prepare the worker, with a client that asks for a run's deployment and flow less than twice a run."""
            await super().setup()
            client: Any = self.client
            client.read_deployment = remembered(client.read_deployment)
            client.read_flow = remembered(client.read_flow)

        async def _initialize_after_sync(self) -> None:
            await super()._initialize_after_sync()
            if not self._has_successfully_synced or self._runs_task_group is None:
                return
            if not self._is_listening:
                self._is_listening = True
                for service in (self._listen, self._due.serve, self._vouch):
                    self._runs_task_group.start_soon(self._until_teardown, service)
                await state_rules(self.client, self._work_pool_name, load_settings())
            if time.monotonic() >= self._next_count_s:
                await self._count_others()

        async def _until_teardown(self, service: Callable[[], Awaitable[None]]) -> None:
            with anyio.CancelScope() as scope:
                self._scheduled_task_scopes.add(scope)
                await service()

        async def _listen(self) -> None:
            await follow(run_events(self.work_pool.id), self._due, self.client)

        async def _vouch(self) -> None:
            while True:
                await anyio.sleep(_VOUCH_S)
                await vouch(self.client, self._seen_at_work)

        async def _count_others(self) -> None:
            """Count the pool's other workers, which hear of the same runs."""
            self._next_count_s = time.monotonic() + _COUNT_EVERY_S
            answer = await self.client.request(
                "POST",
                WORKERS_PATH,
                path_params={"work_pool_name": self._work_pool_name},
                json={"workers": {"status": {"any_": ["ONLINE"]}}},
            )
            self._others = sum(worker["name"] != self.name for worker in answer.json())

        def _delay_s(self) -> float:
            """The wait before a poll, so that not all workers of a pool poll for one run; 0 for a single worker."""
            if not self._others:
                return 0.0
            busy = self._limiter.borrowed_tokens / self._limiter.total_tokens if self._limiter else 0.0
            return random.uniform(0, spread_s(self._others)) + busy * _BUSY_DELAY_S  # noqa: S311 - no secret

        async def _poll_seen(self) -> set[UUID]:
            """Poll because of an event, unless no slot is free; the runs that the poll found."""
            if self._limiter and not self._limiter.available_tokens:
                self._has_left_some = True
                return set()
            try:
                await self.get_and_submit_flow_runs()
            except httpx.HTTPError as exc:  # the regular poll judges whether the server is gone
                _log.info("the poll after an event failed: %s", exc)
                return set()
            return self._seen

        async def run(
            self,
            flow_run: "FlowRun",
            configuration: "ProcessJobConfiguration",
            task_status: "TaskStatus[int] | None" = None,
        ) -> "ProcessWorkerResult":
            """Run the flow run's process; where it was cancelled before it began, say that it is cancelled."""
            try:
                return await super().run(flow_run, configuration, task_status)
            finally:
                with suppress(ObjectNotFound):  # somebody deleted the run
                    await self._end_cancelled(flow_run)

        async def _end_cancelled(self, flow_run: "FlowRun") -> None:
            state = (await self.client.read_flow_run(flow_run.id)).state
            if state is not None and state.is_cancelling():
                cancelled: State[Any] = Cancelled(message="Cancelled while its process started")
                await self.client.set_flow_run_state(flow_run.id, cancelled, force=True)

        async def _submit_scheduled_flow_runs(
            self, flow_run_response: "list[WorkerFlowRunResponse]"
        ) -> "list[FlowRun]":
            held = set(self._limiter.statistics().borrowers) if self._limiter else set()
            free = [entry for entry in flow_run_response if entry.flow_run.id not in held]
            self._seen = {entry.flow_run.id for entry in flow_run_response}
            submitted = await super()._submit_scheduled_flow_runs(free)
            self._has_left_some = not self._seen <= {run.id for run in submitted}
            return submitted

        async def _propose_crashed_state(self, flow_run: "FlowRun", message: str, client: Any = None) -> None:
            """Report a crash, unless the run has gone on since: Prefect's worker reports each one twice."""
            if await may_report(self.client.read_flow_run, flow_run):
                await super()._propose_crashed_state(flow_run, message, client)

        async def _propose_submitting_state(self, flow_run: "FlowRun") -> None:
            """Leave out a state between Pending and Running, on a run's way to its first task."""

        async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None:
            """Leave out labels that nothing reads; the run's log names its worker."""

        def _release_limit_slot(self, flow_run_id: UUID) -> None:
            super()._release_limit_slot(flow_run_id)
            if self._has_left_some:
                self._due.ring()


def _check_settings() -> None:
    """End the process where the runs of this worker would find no flows, or settings that they cannot use."""
    try:
        require_source(load_settings())
    except OptionError as exc:
        sys.stderr.write(f"lipsync: error {exc.code}: {exc}\n")
        sys.exit(exc.exit_status)


if __name__ == "__main__":
    _check_settings()
    for name, value in {**_WORKER_SETTINGS, **_RUN_SETTINGS}.items():
        os.environ.setdefault(name, value)
    refresh_global_settings_context()  # Prefect has read its settings when it was imported
    trim_worker()
    keep_few_heaps()
    app()
