"""The part of a job that wants a GPU, as a flow of its own: track and infer, then hand over references."""

from typing import Any
from uuid import UUID

from prefect import flow, runtime
from prefect.client.schemas.objects import State

from lipsync_core.errors import LipSyncError
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.names import GPU_FLOW
from lipsync_service.settings import load_settings
from tasks import stages
from tasks.artifacts import show_timings
from tasks.gpu_pool import infer_and_hand_over
from tasks.handover import failed_state
from tasks.opening import open_job
from tasks.recorder import JobRecorder
from tasks.run_context import run_context
from tasks.sealed_request import hold_request


@flow(name=GPU_FLOW, persist_result=False, validate_parameters=True, timeout_seconds=stages.JOB_LIMIT_S)
def lipsync_gpu(request: LipSyncRequest, attempt: int = 1) -> State[Any] | None:
    """Track the face and infer its mouth, and hand over references to the results.

    `attempt` is that of the parent run, whose job this is a part of.
    """
    run_id, parent_id = runtime.flow_run.id, runtime.flow_run.parent_flow_run_id
    try:
        settings = load_settings()
        recorder = JobRecorder(settings, run_context(UUID(parent_id or run_id), attempt))
        held = hold_request(settings, request)
        with (
            stages.translated_timeouts(),
            open_job(request.options(), settings, held.reach(settings)) as job,
        ):
            try:
                infer_and_hand_over(job, held.whole, UUID(run_id))
            finally:
                recorder.record_stages(job.log)
                show_timings(job.log)
    except LipSyncError as error:
        return failed_state(error)
    return None
