"""A run that does a part of another run's job: opened alike for each flow of such runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect import runtime

from lipsync_service.client.request import LipSyncRequest
from lipsync_service.settings import load_settings
from tasks.job import ServiceJob
from tasks.opening import open_job
from tasks.recorder import JobRecorder
from tasks.run_context import run_context
from tasks.sealed_request import HeldRequest, hold_request
from tasks.stages import translated_timeouts


@contextmanager
def opened_part(request: LipSyncRequest, attempt: int) -> Iterator[tuple[ServiceJob, HeldRequest]]:
    """The parent's job on this machine, for the block; its stages are recorded for attempt `attempt` of that job.

    Raises:
        LipSyncError: as `load_settings`, `hold_request` and `open_job`; or that of the block, for the caller.
    """
    settings = load_settings()
    job_id = UUID(runtime.flow_run.parent_flow_run_id or runtime.flow_run.id)
    recorder = JobRecorder(settings, run_context(job_id, attempt))
    held = hold_request(settings, request)
    with translated_timeouts(), open_job(request.options(), settings, held.reach(settings)) as job:
        try:
            yield job, held
        finally:
            recorder.record_stages(job.log)
