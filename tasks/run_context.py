"""The context of the present flow run, as the ledger records it."""

import socket
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from tasks.recorder import RunContext


def run_context(job_id: UUID | None = None, attempt: int | None = None) -> RunContext:
    """The present run as a job of its own, or as a part of attempt `attempt` of job `job_id`.

    Raises:
        RuntimeError: no flow run is active.
    """
    run = present_run()
    return RunContext(
        job_id=job_id or run.id,
        attempt=attempt or max(1, run.run_count),
        host=socket.gethostname(),
        pool=run.work_pool_name,
        ready_at=run.expected_start_time,
    )


def present_run() -> FlowRun:
    """The present flow run, as Prefect has it.

    Raises:
        RuntimeError: no flow run is active.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None:
        raise RuntimeError("no flow run is active")
    return run
