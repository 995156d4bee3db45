"""The face track of a job: made once for a video, kept where all machines find it."""

import shutil
from fractions import Fraction
from pathlib import Path

from lipsync_core.audio.load import SpeechReader
from lipsync_core.clock import StageClock
from lipsync_core.face.store import TrackStore
from lipsync_core.media.probe import require_video
from lipsync_core.report import ProgressCallback
from lipsync_core.source_video import SourceVideo
from lipsync_core.timeline import source_s_needed
from lipsync_core.tracking import TrackedClip, TrackPass
from lipsync_service.errors import ObjectMissingError
from tasks.job import JobInputs, ServiceJob, TrackReference
from tasks.stage_log import StageMeter


def track_clip(job: ServiceJob, inputs: JobInputs, meter: StageMeter, progress: ProgressCallback) -> TrackReference:
    """Track the face, or take the track that an earlier job kept for the same video.

    Raises:
        InputError: an input cannot be read.
        TransientError: the shared storage does not answer.
    """
    audio_s = job.options.start_s + _heard_s(inputs.audio.path, job, meter.clock)
    video, track_pass = source_video(inputs), _track_pass(job)
    key = track_pass.key(video)
    url = job.shared(f"tracks/{key}.npz")
    _bring(job, key, url)
    needed_s = source_s_needed(audio_s, job.options)
    clip = track_pass.run(video, needed_s, meter.clock, progress)
    if not clip.was_cached:
        job.files.put(_store(job).path(key), url)
    meter.was_cached, meter.items = clip.was_cached, 0 if clip.was_cached else len(clip.track)
    return TrackReference(key, url, audio_s, clip.track.tracker, clip.was_cached)


def read_clip(job: ServiceJob, reference: TrackReference) -> TrackedClip:
    """The track that `track_clip` made, here or on another machine.

    Raises:
        ObjectMissingError: it is no longer kept.
    """
    _bring(job, reference.key, reference.url)
    stored = _store(job).find(reference.key, source_s_needed(reference.audio_s, job.options))
    if stored is None:
        raise ObjectMissingError(f"the face track {reference.key} is no longer kept", "run the job again")
    return TrackedClip(stored.track, stored.findings, was_cached=reference.was_cached)


def source_video(inputs: JobInputs) -> SourceVideo:
    """The job's video and what is known of it; messages call it "the video", for its address stands beside them.

    Raises:
        InputError: it cannot be read.
    """
    return SourceVideo(inputs.video.path, require_video(inputs.video.path), "the video", inputs.video.sha256)


def _heard_s(audio: Path, job: ServiceJob, clock: StageClock) -> Fraction:
    """The exact length of the sound that the result is for: samples are counted, headers lie."""
    speech = SpeechReader(audio, clock, job.options.start_s, job.options.end_s)
    for _ in speech:
        continue
    return speech.duration_s


def _store(job: ServiceJob) -> TrackStore:
    return TrackStore(job.folder / "tracks")


def _track_pass(job: ServiceJob) -> TrackPass:
    return TrackPass(job.parts.tracker, job.parts.inference.generator, _store(job))


def _bring(job: ServiceJob, key: str, url: str) -> None:
    """Copy the shared track into the job's own store, where there is one and the job has none."""
    kept = _store(job).path(key)
    if kept.exists() or not job.files.exists(url):
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    with job.files.fetch_shared(url) as shared:
        shutil.copyfile(shared.path, kept)
