"""A whole job: fetch both inputs, track and infer, blend and encode in one pass, upload."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.exceptions import Abort

from lipsync_core.catalogue import require_rendering
from lipsync_core.encoder_choice import EncoderChoice, choose_encoder
from lipsync_core.errors import LipSyncError, TransientError
from lipsync_core.media.delivery import delivery
from lipsync_core.memory import give_free_memory_back
from lipsync_core.movie import WrittenMovie
from lipsync_core.movie_scorer import require_scoring
from lipsync_core.report import ProgressCallback, Provenance
from lipsync_core.shown_text import shown_url
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.errors import SupersededError
from lipsync_service.names import GPU_DEPLOYMENT, JOB_FLOW, SEGMENT_DEPLOYMENT
from lipsync_service.settings import Settings, load_settings
from lipsync_service.storage.address import AddressGuard
from tasks import stages
from tasks.artifacts import (
    ShownProgress,
    log_choice,
    show_output,
    show_preflight,
    show_preview,
    show_result,
    show_timings,
)
from tasks.fence import present_fence
from tasks.gpu_pool import SetParts, fetch_inputs, infer_inline, infer_on_gpu_pool
from tasks.handover import duplicate_state, failed_state
from tasks.inference import GpuPoolParts, Tracking, load_gpu_pool_parts
from tasks.job import Inferred, JobInputs, ServiceJob
from tasks.opening import open_job
from tasks.part_runs import PrefectRuns
from tasks.recorder import JobAddresses, JobRecorder
from tasks.rendering import RenderPass, check_sound_of
from tasks.run_context import run_context
from tasks.sealed_request import HeldRequest, hold_request
from tasks.segmented import Helpers, drop_segments
from tasks.segments import SegmentOrder, may_be_divided, segment_orders
from tasks.signing import Signing, open_signing
from tasks.stages import unscanned
from tasks.track_parts import TrackOrder, drop_parts, have_parts_made, is_tracked, track_orders

_log = logging.getLogger(__name__)
_RENDER_TRIES = 3


@flow(name=JOB_FLOW, persist_result=False, validate_parameters=True, timeout_seconds=stages.JOB_LIMIT_S)
def lipsync(request: LipSyncRequest) -> State[Any] | None:
    """Make the face in a video speak a given audio track."""
    addresses = JobAddresses(shown_url(request.video), shown_url(request.audio), shown_url(request.output))
    try:
        settings = load_settings()
        held = hold_request(settings, request)
        recorder = JobRecorder(settings, run_context())
        claim = recorder.claim(addresses, request.scoped_key, held.whole.digest)
        if not claim.is_new:
            return duplicate_state(claim.job_id, recorder.job(claim.job_id))
        with (
            recorder.recorded(),
            stages.translated_timeouts(),
            open_job(request.options(), settings, held.reach(settings)) as job,
        ):
            try:
                account = _run(job, held, settings, recorder)
            finally:
                recorder.record_stages(job.log)
                show_timings(job.log)
                show_result(recorder.facts)
    except SupersededError as error:  # another attempt has the job, and tells how it ends
        raise Abort(str(error)) from error
    except LipSyncError as error:
        return failed_state(error)
    show_output(addresses.output, account)
    return None


def _run(job: ServiceJob, held: HeldRequest, settings: Settings, recorder: JobRecorder) -> str:
    """Make and deliver the movie; what became of it, or nothing where an earlier attempt has made it."""
    request = held.whole
    signing = open_signing(request, settings)
    require_rendering(job.options, job.models, job.execution)  # before the fetch: a missing model fails at once
    require_scoring(job.options, job.models, job.options.model)
    set_parts = partial(recorder.set_parts, options=job.options)
    parts = None if settings.gpu_pool else load_gpu_pool_parts(job)
    if parts:
        set_parts(parts.chosen)
    if request.callback_url is not None:
        AddressGuard(settings.http_allowed_hosts, ports=settings.http_ports).check_literal(request.callback_url)
    with suppress(TransientError):  # the address may work by the time of the upload
        job.files.check_target(request.output)  # before any work is done for it
    inputs = fetch_inputs(job, request)
    check_sound_of(job, inputs, request.output_suffix)
    _check(job, inputs, recorder, is_strict=request.strict, is_shown=settings.preview)
    encoder = choose_encoder(job.options, delivery(inputs.video.info, job.options).picture)
    log_choice("encoder", encoder.chosen, encoder.reason)
    recorder.record_stages(job.log)
    recorder.release()
    inferred = _inferred(job, held, inputs, encoder, parts, set_parts)
    del parts  # the tracker and the networks: the encoder can use their memory
    give_free_memory_back()
    render, movie, orders = _rendered(job, held, inputs, inferred, encoder)
    recorder.set_render(render)
    if movie:
        recorder.set_movie(movie)
    if movie and movie.encoder != encoder:
        log_choice("encoder", movie.encoder.chosen, movie.encoder.reason)
    if settings.preview and not render.is_kept:  # an earlier attempt has shown the preview
        show_preview(render.preview)
    score = _judged(render, settings, recorder)
    recorder.set_provenance(_signed(render, request, signing))
    duration_s = float(render.plan.timeline.duration_s)
    recorder.complete(render.output.stat().st_size, duration_s, inferred.track.was_cached)
    recorder.record_facts()
    _deliver(render, request.output)
    drop_segments(render, orders)
    return "; ".join(filter(None, (movie.account if movie else "", score)))


def _signed(render: RenderPass, request: LipSyncRequest, signing: Signing | None) -> Provenance:
    """Who has signed the movie, or why nobody has."""
    if signing is None:
        return Provenance()
    return stages.sign(unscanned(render), unscanned(request), unscanned(signing), return_state=True).result()


def _judged(render: RenderPass, settings: Settings, recorder: JobRecorder) -> str:
    """The score of the movie in words; nothing where an earlier attempt has judged it.

    Raises:
        QualityError: it is too low, and this service delivers no such result.
    """
    verdict = stages.score(unscanned(render), unscanned(settings), return_state=True).result()
    if verdict is None:
        recorder.recall()
        return ""
    recorder.set_score(verdict)
    verdict.require_delivery()
    return f"sync score {verdict.account}"


def _check(job: ServiceJob, inputs: JobInputs, recorder: JobRecorder, *, is_strict: bool, is_shown: bool) -> None:
    """Have the preflight's warnings seen and recorded, and stop a strict job that has one: PreflightError."""
    checked = stages.check(unscanned(job), unscanned(inputs), is_required=is_strict, is_shown=is_shown)
    if checked is None:
        log_choice("preflight", "none", "its models are not installed on this worker")
        return
    show_preflight(checked)
    recorder.set_preflight(checked.preflight)
    if is_strict:
        checked.preflight.require_no_warning()


def _inferred(
    job: ServiceJob,
    held: HeldRequest,
    inputs: JobInputs,
    encoder: EncoderChoice,
    parts: GpuPoolParts | None,
    set_parts: SetParts,
) -> Inferred:
    """Track and edits: made by this run where `parts` are loaded, and else on the GPU pool."""
    attempt = run_context().attempt
    orders = track_orders(job, inputs, run_context().job_id)
    if parts:
        inferred = infer_inline(job, inputs, parts, partial(_made_by_all, job, held, orders))
    else:
        if orders:
            runs = PrefectRuns(GPU_DEPLOYMENT, held.told, attempt)
            have_parts_made(job, orders, runs, present_fence().confirm, make_here=None)
        inferred = infer_on_gpu_pool(job, held.told, attempt, set_parts, orders, may_be_divided(job, encoder))
    drop_parts(job, orders)
    return inferred


def _made_by_all(
    job: ServiceJob, held: HeldRequest, orders: Sequence[TrackOrder], tracking: Tracking
) -> Sequence[TrackOrder]:
    """The parts of a long track, made by this run and others; none where the track is kept."""
    if not orders or is_tracked(tracking, orders[0].until_s):
        return ()
    runs = PrefectRuns(SEGMENT_DEPLOYMENT, held.told, run_context().attempt)
    have_parts_made(job, orders, runs, present_fence().confirm, partial(_track_a_part, tracking))
    return orders


def _track_a_part(tracking: Tracking, order: TrackOrder) -> None:
    stages.track_part(unscanned(tracking), unscanned(order))


def _rendered(
    job: ServiceJob, held: HeldRequest, inputs: JobInputs, inferred: Inferred, encoder: EncoderChoice
) -> tuple[RenderPass, WrittenMovie | None, tuple[SegmentOrder, ...]]:
    """The pass over the frames, done anew where a process that reads the inputs for it was killed; and its segments."""
    job_id = run_context().job_id
    tries_left = _RENDER_TRIES
    while True:
        values = (unscanned(job), unscanned(inputs), unscanned(inferred), unscanned(encoder))
        render = stages.plan(*values, job_id, held.whole.output_suffix)
        orders = segment_orders(render, inferred, job_id)
        tries_left -= 1
        try:
            return render, _render(render, orders, held), orders
        except TransientError as error:
            if not tries_left:
                raise
            _log.warning("the frames are rendered once more: %s", error)


def _deliver(render: RenderPass, url: str) -> None:
    """Upload the result, unless another attempt has the job by now."""
    fence = present_fence()
    stages.upload(unscanned(render), unscanned(url), unscanned(fence.check))
    fence.confirm()  # before the end is recorded


def _render(render: RenderPass, orders: tuple[SegmentOrder, ...], held: HeldRequest) -> WrittenMovie | None:
    """The movie, from segments or in one pass; None where an earlier attempt has made it."""
    progress = ShownProgress()
    if orders:
        attempt = run_context().attempt
        rendering, inferring = (PrefectRuns(name, held.told, attempt) for name in (SEGMENT_DEPLOYMENT, GPU_DEPLOYMENT))
        helpers = Helpers(rendering, inferring, present_fence().confirm)
        return stages.encode_in_segments(unscanned(render), unscanned(orders), unscanned(helpers), unscanned(progress))
    return _streamed(render, progress)


def _streamed(render: RenderPass, progress: ProgressCallback) -> WrittenMovie | None:
    """Run both stages of the pass at once, and wait for both whatever happens to either."""
    blended = stages.blend.submit(unscanned(render))
    encoded = stages.encode.submit(unscanned(render), unscanned(progress))
    try:
        encoded.wait()
    finally:
        render.frames.close()  # when the run is stopped, both threads end
        blended.wait()
    movie = encoded.result()  # first: encode raises blend's error; blend would only report a closed channel
    blended.result()
    return movie
