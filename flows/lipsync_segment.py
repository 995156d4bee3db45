"""A segment of a long job, as a flow of its own: render it, and keep it for the job."""

from typing import Any
from uuid import UUID

from prefect import flow, runtime
from prefect.client.schemas.objects import State

from lipsync_core.errors import LipSyncError
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.names import SEGMENT_FLOW
from lipsync_service.settings import load_settings
from tasks import stages
from tasks.handover import failed_state
from tasks.opening import open_job
from tasks.recorder import JobRecorder
from tasks.run_context import run_context
from tasks.sealed_request import hold_request
from tasks.segments import SegmentOrder
from tasks.stages import unscanned


@flow(name=SEGMENT_FLOW, persist_result=False, validate_parameters=True, timeout_seconds=stages.JOB_LIMIT_S)
def lipsync_segment(request: LipSyncRequest, order: SegmentOrder, attempt: int = 1) -> State[Any] | None:
    """Render one segment of the parent run's movie. `attempt` is the parent's, whose job this is a part of."""
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
                video = stages.fetch_video(unscanned(job), unscanned(held.whole.video))
                stages.segment(unscanned(job), unscanned(video), unscanned(order))
            finally:
                recorder.record_stages(job.log)
    except LipSyncError as error:
        return failed_state(error)
    return None
