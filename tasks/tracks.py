"""The face track of a job: made once for a video, kept where all machines find it."""

import shutil
from fractions import Fraction

from lipsync_core.report import ProgressCallback
from lipsync_core.timeline import source_s_needed
from lipsync_core.tracking import TrackedClip
from lipsync_service.errors import ObjectMissingError
from tasks.inference import InferenceJob
from tasks.job import ServiceJob, TrackReference
from tasks.stage_log import StageMeter


def track_clip(
    inference: InferenceJob, end_s: Fraction, meter: StageMeter, progress: ProgressCallback
) -> TrackReference:
    """Track the face under sound that ends at `end_s`, or take the track that an earlier job kept for the same video.

    Raises:
        InputError: the video cannot be read.
        TransientError: the shared storage does not answer.
    """
    job, key, url = inference.job, inference.track_key, inference.track_url
    is_shared = _bring(job, key, url)
    needed_s = source_s_needed(end_s, job.options)
    clip = inference.track_pass.run(inference.inputs.video, needed_s, meter.clock, progress)
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
        _bring(job, reference.key, reference.url)
    stored = job.tracks.find(reference.key, source_s_needed(reference.sound_end_s, job.options))
    if stored is None:
        raise ObjectMissingError(f"the face track {reference.key} is no longer kept", "run the job again")
    return TrackedClip(stored.track, stored.findings, was_cached=reference.was_cached)


def _bring(job: ServiceJob, key: str, url: str) -> bool:
    """Copy the shared track into the job's own store, unless the job has one; returns whether there is a shared one."""
    kept = job.tracks.path(key)
    if not job.files.take(url):
        return False
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with job.files.fetch_shared(url) as shared:
            shutil.copyfile(shared.path, kept)
    return True
