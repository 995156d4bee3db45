"""The face track of a job: made once for a video, kept where all machines find it."""

from collections.abc import Sequence
from fractions import Fraction
from functools import partial

from lipsync_core.report import ProgressCallback
from lipsync_core.timeline import source_s_needed
from lipsync_core.tracking import TrackedClip
from lipsync_service.errors import ObjectMissingError
from tasks.inference import InferenceJob
from tasks.job import ServiceJob, TrackReference
from tasks.stage_log import StageMeter
from tasks.track_parts import TrackOrder, bring_track, made_parts


def track_clip(
    inference: InferenceJob,
    end_s: Fraction,
    meter: StageMeter,
    progress: ProgressCallback,
    orders: Sequence[TrackOrder] = (),
) -> TrackReference:
    """Track the face under sound that ends at `end_s`, or take the track that an earlier job kept for the same video.

    It is joined from the parts of `orders`, where there are any; those that nobody has made are made here.

    Raises:
        InputError: the video cannot be read.
        TransientError: the shared storage does not answer.
    """
    job, tracking = inference.job, inference.tracking
    key, url = tracking.key, tracking.url
    is_shared = bring_track(job, key, url)
    needed_s = source_s_needed(end_s, job.options)
    made = partial(made_parts, tracking, orders, meter) if orders else None
    clip = tracking.track_pass.run(inference.inputs.video, needed_s, meter.clock, progress, made=made)
    was_cached = is_shared and clip.was_cached
    if not was_cached:  # the job's own store also holds what an earlier try made and could not share
        job.files.put_shared(job.tracks.path(key), url)
    meter.was_cached, meter.items = clip.was_cached, 0 if clip.was_cached else len(clip.track)
    return TrackReference(key, url, end_s, clip.track.tracker, was_cached)


def read_clip(job: ServiceJob, reference: TrackReference) -> TrackedClip:
    """The track that `track_clip` made, here or on another machine.

    Raises:
        ObjectMissingError: it is no longer kept.
    """
    if not job.tracks.path(reference.key).exists():
        bring_track(job, reference.key, reference.url)
    stored = job.tracks.find(reference.key, source_s_needed(reference.sound_end_s, job.options))
    if stored is None:
        raise ObjectMissingError(f"the face track {reference.key} is no longer kept", "run the job again")
    return TrackedClip(stored.track, stored.findings, was_cached=reference.was_cached)
