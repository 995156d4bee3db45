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
from tasks.edit_parts import EditsOrder
from tasks.gpu_pool import infer_a_part, infer_and_hand_over, track_a_part
from tasks.handover import failed_state
from tasks.part_run import opened_part
from tasks.track_parts import TrackOrder


@flow(name=GPU_FLOW, persist_result=False, validate_parameters=True, timeout_seconds=stages.JOB_LIMIT_S)
def lipsync_gpu(
    request: LipSyncRequest,
    attempt: int = 1,
    order: TrackOrder | EditsOrder | None = None,
    track_parts: tuple[TrackOrder, ...] = (),
    may_divide: bool = False,
) -> State[Any] | None:
    """Track the face and infer its mouth, and hand over references to the results.

    `attempt` is that of the parent run, whose job this is a part of. `track_parts` are parts of the track that other
    runs were to make. With `may_divide` the edits of a long movie are left to other runs. With an `order` this run
    makes a part of the track or of the edits, and nothing else.
    """
    try:
        with opened_part(request, attempt) as (job, held):
            try:
                if isinstance(order, TrackOrder):
                    track_a_part(job, held.whole, order)
                elif order is not None:
                    infer_a_part(job, held.whole, order)
                else:
                    infer_and_hand_over(job, held.whole, UUID(runtime.flow_run.id), track_parts, may_divide)
            finally:
                show_timings(job.log)
    except LipSyncError as error:
        return failed_state(error)
    return None
