"""The part of a job that wants a GPU, as a flow of its own: track and infer, then hand over references."""

from typing import Any
from uuid import UUID

from prefect import flow, runtime
from prefect.client.schemas.objects import State

from lipsync_core.errors import LipSyncError
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.names import GPU_FLOW
from tasks import stages
from tasks.artifacts import show_timings
from tasks.gpu_pool import infer_and_hand_over
from tasks.handover import failed_state
from tasks.part_run import opened_part


@flow(name=GPU_FLOW, persist_result=False, validate_parameters=True, timeout_seconds=stages.JOB_LIMIT_S)
def lipsync_gpu(request: LipSyncRequest, attempt: int = 1) -> State[Any] | None:
    """Track the face and infer its mouth, and hand over references to the results.

    `attempt` is that of the parent run, whose job this is a part of.
    """
    try:
        with opened_part(request, attempt) as (job, held):
            try:
                infer_and_hand_over(job, held.whole, UUID(runtime.flow_run.id))
            finally:
                show_timings(job.log)
    except LipSyncError as error:
        return failed_state(error)
    return None
