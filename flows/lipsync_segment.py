"""A part of a long job for the CPU pool, as a flow of its own: a segment of its movie, or a part of its face track."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from lipsync_core.errors import LipSyncError
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.names import SEGMENT_FLOW
from tasks import stages
from tasks.gpu_pool import track_a_part
from tasks.handover import failed_state
from tasks.part_run import opened_part
from tasks.segments import SegmentOrder
from tasks.stages import unscanned
from tasks.track_parts import TrackOrder


@flow(name=SEGMENT_FLOW, persist_result=False, validate_parameters=True, timeout_seconds=stages.JOB_LIMIT_S)
def lipsync_segment(request: LipSyncRequest, order: SegmentOrder | TrackOrder, attempt: int = 1) -> State[Any] | None:
    """Do one part of the parent run's job, and keep it for that run. `attempt` is the parent's."""
    try:
        with opened_part(request, attempt) as (job, held):
            if isinstance(order, TrackOrder):
                track_a_part(job, held.whole, order)
            else:
                video = stages.fetch_video(unscanned(job), unscanned(held.whole.video))
                stages.segment(unscanned(job), unscanned(video), unscanned(order))
    except LipSyncError as error:
        return failed_state(error)
    return None
