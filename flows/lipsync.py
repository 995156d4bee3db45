"""A whole job: fetch both inputs, track and infer, blend and encode in one pass, upload."""

from contextlib import suppress
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from lipsync_core.errors import LipSyncError, TransientError
from lipsync_core.report import ProgressCallback
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.names import JOB_FLOW
from lipsync_service.settings import Settings
from lipsync_service.storage.storage import shown_url
from tasks import stages
from tasks.artifacts import ShownProgress, show_output, show_preview, show_timings
from tasks.gpu_pool import fetch_inputs, infer_inline, infer_on_gpu_pool
from tasks.handover import duplicate_state, failed_state
from tasks.job import ServiceJob
from tasks.opening import open_job
from tasks.recorder import JobAccount, JobAddresses
from tasks.rendering import RenderPass
from tasks.run_context import present_place
from tasks.stages import unscanned


@flow(name=JOB_FLOW, persist_result=False, validate_parameters=True, timeout_seconds=stages.JOB_LIMIT_S)
def lipsync(request: LipSyncRequest) -> State[Any] | None:
    """Make the face in a video speak a given audio track."""
    settings = Settings()
    account = JobAccount(settings, present_place())
    addresses = JobAddresses(shown_url(request.video), shown_url(request.audio), shown_url(request.output))
    try:
        claim = account.claim(addresses, request.idempotency_key, request.digest)
        if not claim.is_new:
            return duplicate_state(claim.job_id, account.job(claim.job_id))
        with account.kept(), stages.translated_timeouts(), open_job(request.options(), settings) as job:
            account.describe(job)
            try:
                _run(job, request, settings, account)
            finally:
                account.stages(job)
                show_timings(job.log)
    except LipSyncError as error:
        return failed_state(error)
    show_output(addresses.output)
    return None


def _run(job: ServiceJob, request: LipSyncRequest, settings: Settings, account: JobAccount) -> None:
    with suppress(TransientError):  # it may be found when it is needed
        job.files.check_target(request.output)  # before any work is done for it
    inputs = fetch_inputs(job, request)
    account.stages(job)
    place = present_place()
    inferred = infer_on_gpu_pool(job, request, place.attempt) if settings.gpu_pool else infer_inline(job, inputs)
    render = stages.plan(unscanned(job), unscanned(inputs), unscanned(inferred), place.job_id, request.output_suffix)
    account.frames = render.plan.counts
    _render(render, ShownProgress())
    if settings.preview and not render.is_kept:  # the attempt that made it has shown it
        show_preview(render.preview)
    duration_s = float(render.plan.timeline.duration_s)
    account.complete(render.output.stat().st_size, duration_s, inferred.track.was_cached)
    stages.upload(unscanned(render), unscanned(request.output))


def _render(render: RenderPass, progress: ProgressCallback) -> None:
    """Run both stages of the pass at once, and wait for both whatever happens to either."""
    blended = stages.blend.submit(unscanned(render))
    encoded = stages.encode.submit(unscanned(render), unscanned(progress))
    try:
        encoded.wait()
    finally:
        render.frames.close()  # where this run is stopped, so are the two threads
        blended.wait()
    encoded.result()  # it fails with what made the blending fail, and the other way round it would not
    blended.result()
