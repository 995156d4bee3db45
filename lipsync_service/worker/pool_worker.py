"""Prefect's process worker without two of its faults, and with runs that send heartbeats.

`python -m lipsync_service.worker.pool_worker worker start ...` has the options of `prefect worker start ...`.

With `--limit`, Prefect's own worker (3.8.8) keeps a run's slot until it has cleaned up the run's process, up to some
seconds after the run has ended. If the run is due again before that (a user or the watcher retried it at once), it asks
for a second slot under the same name; this ends Prefect's worker with an error, and all its other runs.

A run that is cancelled while its process starts is not noticed by Prefect's own worker: the process ends, because its
run may not begin any more, and the run stays `Cancelling`.
"""

import os
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from prefect.cli import app
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled
from prefect.workers.process import ProcessWorker

from lipsync_core.errors import OptionError
from lipsync_service.settings import load_settings, require_source

if TYPE_CHECKING:
    from anyio.abc import TaskStatus
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.client.schemas.responses import WorkerFlowRunResponse
    from prefect.workers.process import ProcessJobConfiguration, ProcessWorkerResult

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

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # the class replaces Prefect's own on purpose

    class PoolWorker(ProcessWorker):
        """Leaves a run whose earlier attempt still holds its slot for a later poll, and ends cancelled runs."""

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
            return await super()._submit_scheduled_flow_runs(free)


def _check_settings() -> None:
    """End the process where the runs of this worker would find no flows, or settings that they cannot use."""
    try:
        require_source(load_settings())
    except OptionError as exc:
        sys.stderr.write(f"lipsync: error {exc.code}: {exc}\n")
        sys.exit(exc.exit_status)


if __name__ == "__main__":
    _check_settings()
    for name, value in _RUN_SETTINGS.items():
        os.environ.setdefault(name, value)
    app()
