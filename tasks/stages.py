"""The stages of a job as Prefect tasks: thin wrappers that give each a task run, retries and a time limit.

Only transient errors are retried. Results are kept in the shared storage, under hashes of all that they depend on. A
task that finds its result there ends in a state called Cached. Prefect itself caches and persists nothing: its keys
would hash the inputs, and its storage would be a second one.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar, cast
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Completed
from prefect.tasks import Task
from prefect.utilities.annotations import quote

from lipsync_core.encoder_choice import EncoderChoice
from lipsync_core.errors import ModelServerBusyError, ModelServerDownError, TransientError
from lipsync_core.media.probe import require_audio, video_of
from lipsync_core.movie import WrittenMovie
from lipsync_core.report import Progress, ProgressCallback, Provenance
from lipsync_core.source_video import SourceVideo
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.errors import JobTimedOutError, ObjectMissingError
from lipsync_service.settings import Settings
from lipsync_service.storage.limits import check_duration
from lipsync_service.storage.source import MayWrite
from tasks.checking import CheckedInputs, check_inputs
from tasks.edit_parts import EditsOrder, make_edits
from tasks.edits import kept_or_inferred_edits
from tasks.inference import InferenceJob, MeasuredSound, Tracking, hear
from tasks.job import EditsReference, Inferred, JobInputs, LocalCopy, ServiceJob, SourceSound, TrackReference
from tasks.rendering import RenderPass, blend_frames, deliver, encode_frames, open_render
from tasks.run_log import leave_out_noise
from tasks.scoring import Verdict, score_result
from tasks.segmented import Helpers, encode_segments
from tasks.segments import SegmentOrder, is_rendered, open_segment, render_segment
from tasks.signing import Signing, sign_result
from tasks.stage_log import StageMeter
from tasks.track_parts import TrackOrder, make_part
from tasks.tracks import track_clip

_T = TypeVar("_T")
_MINUTE_S = 60
JOB_LIMIT_S = 24 * 60 * _MINUTE_S  # of all waits and stages together
TRANSFER_LIMIT_S = 30 * _MINUTE_S
_COMPUTE_LIMIT_S = 6 * 60 * _MINUTE_S


class NotThereNowError(ObjectMissingError, TransientError):
    """The track or the edits that this job has just kept are not there: an S3 server that stops or starts says so."""


def unscanned(argument: _T) -> _T:
    """Pass `argument` to a task as it is. Prefect would search it for futures, arrays included."""
    return cast(_T, quote(argument))


@contextmanager
def translated_timeouts() -> Iterator[None]:
    """Raise JobTimedOutError where a time limit of a task or of the flow ends the block."""
    try:
        yield
    except TimeoutError as exc:
        raise JobTimedOutError(f"a time limit ended it: {exc}", "see which stage, and use a shorter input") from exc


async def is_transient(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task is worth a retry.

    Requests to a model server were sent again for as long as the settings allow, before the task failed.
    """
    failure = await state.aresult(raise_on_failure=False)
    return isinstance(failure, TransientError) and not isinstance(failure, ModelServerDownError | ModelServerBusyError)


# About three minutes in all, in which a server starts again. Each delay is jittered, so that many jobs do not return at
# once.
_DELAYS_S = [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
RETRIED: dict[str, Any] = {
    "retries": len(_DELAYS_S),
    "retry_delay_seconds": _DELAYS_S,
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_transient,
}
NOT_PERSISTED: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}

#: An S3 server that stops or starts denies for a moment what it holds; then it cannot be reached, which is transient.
LOOKS_AGAIN_AFTER_S = (1.0, 3.0)

leave_out_noise()


@task(name="fetch", task_run_name="fetch video", timeout_seconds=TRANSFER_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def fetch_video(job: ServiceJob, url: str) -> SourceVideo:
    """Bring the video to this machine, where it stays until the job ends, with all that the stages ask of it.

    Raises:
        TooLongError: it plays longer than the service takes.
        OptionError: it has no such track.
        InputError: it is no media, or holds no picture.
        LipSyncError: as `lipsync_service.storage.storage.Storage.fetch`.
    """
    with job.stage("fetch video") as meter:
        copy = _fetched(job, url, meter)
        media = check_duration(copy.path, "the video", job.max_input_s, video_track=job.options.video_track)
        video = SourceVideo.probed(copy.path, job.options, job.execution.decoder, video_of(media))
    return replace(video, name="the video", known_sha256=copy.sha256).reduced_for(job.options)


@task(name="fetch", task_run_name="fetch audio", timeout_seconds=TRANSFER_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def fetch_audio(job: ServiceJob, url: str) -> SourceSound:
    """Bring the sound to this machine, as `fetch_video` does; raises InputError where it holds no sound."""
    with job.stage("fetch audio") as meter:
        copy = _fetched(job, url, meter)
        wanted = job.options.audio_track
        media = check_duration(copy.path, "the audio", job.max_input_s, audio_track=wanted)
        require_audio(copy.path, wanted)
    number = next(track.number for track in media.audio_tracks if track.is_chosen)
    return SourceSound(copy.path, copy.sha256, number, media.audio.duration_s if media.audio else None)


def _fetched(job: ServiceJob, url: str, meter: StageMeter) -> LocalCopy:
    copy = _held(job, url)
    meter.items, meter.size_bytes = 1, copy.size_bytes
    return copy


def _held(job: ServiceJob, url: str) -> LocalCopy:
    waits_s = iter(LOOKS_AGAIN_AFTER_S if url.startswith("s3://") else ())
    while True:
        try:
            return job.hold(job.files.fetch(url))
        except ObjectMissingError:
            wait_s = next(waits_s, None)
            if wait_s is None:
                raise
            time.sleep(wait_s)


@task(name="check", task_run_name="check", timeout_seconds=TRANSFER_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def check(job: ServiceJob, inputs: JobInputs, is_required: bool, is_shown: bool) -> CheckedInputs | None:
    """Look at both inputs for what would spoil the result, as `tasks.checking.check_inputs`."""
    with job.stage("check") as meter:
        return check_inputs(job, inputs, meter, is_required, is_shown)


@task(name="listen", task_run_name="listen", timeout_seconds=_COMPUTE_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def listen(inference: InferenceJob) -> MeasuredSound:
    """Decode the sound for the generator. It is `Cached` where the edits are kept; ask for the state."""
    with inference.job.stage("listen") as meter:
        heard = hear(inference, meter)
    return _completed(heard, meter.was_cached)


@task(name="track", task_run_name="track", timeout_seconds=_COMPUTE_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def track(
    inference: InferenceJob, heard: MeasuredSound, progress: ProgressCallback, orders: Sequence[TrackOrder] = ()
) -> TrackReference:
    """Find the face in every frame that the result can show. Ask for the state: it says whether it was `Cached`.

    `orders` are parts that other runs were to make.
    """
    with inference.job.stage("track") as meter:
        reference = track_clip(inference, heard.end_s, meter, progress, orders)
    return _completed(reference, reference.was_cached)


@task(name="track part", task_run_name="track part", timeout_seconds=_COMPUTE_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def track_part(tracking: Tracking, order: TrackOrder) -> None:
    """Find the face in a part of a long video, and keep the part for the run that joins it."""
    with tracking.job.stage(order.stage, part_of="track") as meter:
        make_part(tracking, order, meter)


@task(name="infer", task_run_name="infer", timeout_seconds=_COMPUTE_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def infer(
    inference: InferenceJob, heard: MeasuredSound, track: TrackReference, progress: ProgressCallback
) -> EditsReference:
    """Infer the edit of every synced frame. Ask for the state, as for `track`."""
    with inference.job.stage("infer") as meter:
        reference = kept_or_inferred_edits(inference, heard, track, meter, progress)
    return _completed(reference, reference.was_cached)


@task(name="infer part", task_run_name="infer part", timeout_seconds=_COMPUTE_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def infer_part(inference: InferenceJob, order: EditsOrder) -> None:
    """Infer the edits of one segment of a long movie, and keep them for the run that renders it."""
    with inference.job.stage(order.stage, part_of="infer") as meter:
        try:
            make_edits(inference, order, meter)
        except ObjectMissingError as exc:
            raise NotThereNowError(exc.message, exc.remedy) from exc


@task(name="plan", task_run_name="plan", timeout_seconds=TRANSFER_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def plan(
    job: ServiceJob, inputs: JobInputs, inferred: Inferred, encoder: EncoderChoice, job_id: UUID, suffix: str
) -> RenderPass:
    """Lay out the output, and fetch all that the pass over its frames needs."""
    with job.stage("plan"):
        try:
            return open_render(job, inputs, inferred, encoder, job_id, suffix)
        except ObjectMissingError as exc:
            raise NotThereNowError(exc.message, exc.remedy) from exc


# Neither half of the streaming pass can be retried alone, and neither uses the network.
@task(name="blend", task_run_name="blend", timeout_seconds=_COMPUTE_LIMIT_S, **NOT_PERSISTED)
def blend(render: RenderPass) -> None:
    """Paint the edits into the frames and send them to `encode`, which runs at the same time."""
    with render.job.stage("blend") as meter:
        meter.was_cached = render.is_kept
        if not render.is_kept:
            blend_frames(render, meter)
    return _completed(None, render.is_kept)


@task(name="encode", task_run_name="encode", timeout_seconds=_COMPUTE_LIMIT_S, **NOT_PERSISTED)
def encode(render: RenderPass, progress: ProgressCallback) -> WrittenMovie | None:
    """Encode the frames that `blend` sends. Both are `Cached` where an earlier attempt has made the movie: None."""
    movie = None
    with render.job.stage("encode") as meter:
        meter.was_cached = render.is_kept
        if not render.is_kept:
            movie = encode_frames(render, meter, progress)
    return _completed(movie, render.is_kept)


@task(name="encode", task_run_name="encode", timeout_seconds=_COMPUTE_LIMIT_S, **NOT_PERSISTED)
def encode_in_segments(
    render: RenderPass, orders: Sequence[SegmentOrder], helpers: Helpers, progress: ProgressCallback
) -> WrittenMovie:
    """Render a long movie in segments, those of other runs among them, and join them."""
    with render.job.stage("encode") as meter:
        return encode_segments(render, orders, helpers, meter, progress)


@task(name="segment", task_run_name="segment", timeout_seconds=_COMPUTE_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def segment(job: ServiceJob, video: SourceVideo, order: SegmentOrder) -> None:
    """Render one segment of a job that another run has begun, and keep it for that run."""
    with job.stage(order.stage, part_of="encode") as meter:
        if is_rendered(job, order):
            meter.was_cached = True
            return
        try:
            work = open_segment(job, video, order)
        except ObjectMissingError as exc:
            raise NotThereNowError(exc.message, exc.remedy) from exc
        render_segment(job, work, order, meter, _ignore)


@task(name="score", task_run_name="score", timeout_seconds=_COMPUTE_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def score(render: RenderPass, settings: Settings) -> Verdict | None:
    """Judge whether the mouth of the finished movie follows its sound; None where an earlier attempt has."""
    with render.job.stage("score") as meter:
        return _completed(score_result(render, settings, meter), meter.was_cached)


@task(name="sign", task_run_name="sign", timeout_seconds=TRANSFER_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def sign(render: RenderPass, request: LipSyncRequest, signing: Signing) -> Provenance:
    """Sign the finished movie, and say in it how it was made."""
    with render.job.stage("sign") as meter:
        return _completed(sign_result(render, request, signing, meter), meter.was_cached)


@task(name="upload", task_run_name="upload", timeout_seconds=TRANSFER_LIMIT_S, **RETRIED, **NOT_PERSISTED)
def upload(render: RenderPass, url: str, may_write: MayWrite) -> None:
    """Upload the result to the caller's address, unless the job has gone on without this attempt: SupersededError."""
    with render.job.stage("upload") as meter:
        deliver(render, url, may_write)
        meter.items, meter.size_bytes = 1, render.output.stat().st_size


def _ignore(_: Progress) -> None:
    """The job itself shows the progress of its segments."""


def _completed(reference: _T, was_cached: bool) -> _T:
    """A final state of a task with `reference` as its result: Prefect accepts a returned state as the task's own."""
    return cast(_T, Completed(data=reference, name="Cached" if was_cached else None))
