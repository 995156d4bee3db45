"""Prefect's process worker, whose runs say that they are alive, with one fault less.

`python -m lipsync_service.worker.pool_worker worker start ...` takes what `prefect worker start ...` takes.

With `--limit`, Prefect's own worker (3.8.8) keeps a run's place until it has put the run's process away, up to some
seconds after the run has ended. A run that is due again by then (somebody retried it at once, or the watcher did)
asked for a second place under the same name, which ended the worker with an error, and every other run with it.
"""

import os
import warnings
from typing import TYPE_CHECKING, Final

from prefect.cli import app
from prefect.workers.process import ProcessWorker

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import WorkerFlowRunResponse

#: Settings of its runs, which inherit them.
_OF_RUNS: Final = {
    # By their silence it is known that they have vanished. 30 s is the shortest that Prefect takes, its default is 180.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    # What its server answers while its database is away, which is no reason for a job to fail.
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
    "PREFECT_CLIENT_MAX_RETRIES": "6",  # after 2, 4 ... 64 s: in all two minutes
}

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # that it takes the place of Prefect's own is the purpose

    class PoolWorker(ProcessWorker):
        """Leaves a run that still has its place for a later look."""

        async def _submit_scheduled_flow_runs(
            self, flow_run_response: "list[WorkerFlowRunResponse]"
        ) -> "list[FlowRun]":
            held = set(self._limiter.statistics().borrowers) if self._limiter else set()
            free = [entry for entry in flow_run_response if entry.flow_run.id not in held]
            return await super()._submit_scheduled_flow_runs(free)


if __name__ == "__main__":
    for name, value in _OF_RUNS.items():
        os.environ.setdefault(name, value)
    app()
