"""Where the present flow run is, as the ledger wants it."""

import socket
from uuid import UUID

from prefect.context import FlowRunContext

from tasks.recorder import RunPlace


def present_place(job_id: UUID | None = None, attempt: int | None = None) -> RunPlace:
    """The present run as a job of its own, or as a part of attempt `attempt` of job `job_id`.

    Raises:
        RuntimeError: no flow run is present.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None:
        raise RuntimeError("this is no flow run")
    return RunPlace(
        job_id=job_id or run.id,
        attempt=attempt or max(1, run.run_count),
        host=socket.gethostname(),
        pool=run.work_pool_name,
        ready_at=run.expected_start_time,
    )
