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
from tasks.gpu_pool import infer_and_hand_over, track_a_part
from tasks.handover import failed_state
from tasks.part_run import opened_part
from tasks.track_parts import TrackOrder


@flow(name=GPU_FLOW, persist_result=False, validate_parameters=True, timeout_seconds=stages.JOB_LIMIT_S)
def lipsync_gpu(
    request: LipSyncRequest,
    attempt: int = 1,
    order: TrackOrder | None = None,
    track_parts: tuple[TrackOrder, ...] = (),
) -> State[Any] | None:
    """Track the face and infer its mouth, and hand over references to the results.

    `attempt` is that of the parent run, whose job this is a part of. `track_parts` are parts of the track that other
    runs were to make; with an `order` this run makes one, and nothing else.
    """
    try:
        with opened_part(request, attempt) as (job, held):
            try:
                if order is not None:
                    track_a_part(job, held.whole, order)
                else:
                    infer_and_hand_over(job, held.whole, UUID(runtime.flow_run.id), track_parts)
            finally:
                show_timings(job.log)
    except LipSyncError as error:
        return failed_state(error)
    return None
