"""A segment of a long job, as a flow of its own: render it, and keep it for the job."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from lipsync_core.errors import LipSyncError
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.names import SEGMENT_FLOW
from tasks import stages
from tasks.handover import failed_state
from tasks.part_run import opened_part
from tasks.segments import SegmentOrder
from tasks.stages import unscanned


@flow(name=SEGMENT_FLOW, persist_result=False, validate_parameters=True, timeout_seconds=stages.JOB_LIMIT_S)
def lipsync_segment(request: LipSyncRequest, order: SegmentOrder, attempt: int = 1) -> State[Any] | None:
    """Render one segment of the parent run's movie. `attempt` is the parent's, whose job this is a part of."""
    try:
        with opened_part(request, attempt) as (job, held):
            video = stages.fetch_video(unscanned(job), unscanned(held.whole.video))
            stages.segment(unscanned(job), unscanned(video), unscanned(order))
    except LipSyncError as error:
        return failed_state(error)
    return None
