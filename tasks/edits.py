"""The edits of a job: one row for every frame that is synced, in a file that is never whole in memory."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import SpeechReader
from lipsync_core.clip_plan import ClipPlan, lay_out, plan_inference
from lipsync_core.clock import StageClock
from lipsync_core.inference import infer_edits as edits_of
from lipsync_core.render import ordered_frames
from lipsync_core.report import Progress, ProgressCallback
from lipsync_service.errors import ChecksumError
from tasks.job import EditsReference, JobInputs, ServiceJob, TrackReference
from tasks.stage_log import StageMeter
from tasks.tracks import read_clip, source_video

_FORMAT = 1  # raise it when the meaning of a stored row changes
_PROGRESS_EVERY = 25  # frames


def infer_edits(
    job: ServiceJob, inputs: JobInputs, track: TrackReference, meter: StageMeter, progress: ProgressCallback
) -> EditsReference:
    """Work out the edits, or take those that an earlier run of the same job kept.

    Raises:
        FaceError: fewer frames than asked for can be synced.
        ModelError: the model's network fails.
        TransientError: the shared storage does not answer.
    """
    url = job.shared(f"edits/{_key(job, inputs, track)}.npy")
    meter.was_cached = job.files.exists(url)
    if meter.was_cached:
        return EditsReference(url, was_cached=True)
    clip, painting = read_clip(job, track), job.parts.inference.painting
    plan = lay_out(source_video(inputs), clip, track.audio_s, painting, job.options)
    path = job.folder / "edits.npy"
    meter.items = plan.counts.synced
    _write_rows(path, _edits(job, inputs, plan, meter.clock), meter.items, progress)
    meter.size_bytes = path.stat().st_size
    job.files.put(path, url)
    return EditsReference(url, was_cached=False)


def open_edits(path: Path, plan: ClipPlan) -> NDArray[Any]:
    """(synced, ...) the rows that `infer_edits` wrote, read from the disk as they are used.

    Raises:
        ChecksumError: they are not rows for these frames.
    """
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as exc:
        raise ChecksumError(f"the stored edits cannot be read: {exc}", "run the job again") from exc
    if len(rows) != plan.counts.synced:
        raise ChecksumError(f"{len(rows)} stored edits for {plan.counts.synced} frames", "run the job again")
    return np.asanyarray(rows)


def _key(job: ServiceJob, inputs: JobInputs, track: TrackReference) -> str:
    """Everything that the edits depend on, as 64 hex digits."""
    options, model = job.options, job.parts.inference.identity
    cut = (options.length, options.extend, options.start_s, options.end_s)
    made_by = (model.name, model.version, model.weights_sha256)
    parts = [_FORMAT, track.key, inputs.video.sha256, inputs.audio.sha256, *made_by, *map(str, cut)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _edits(job: ServiceJob, inputs: JobInputs, plan: ClipPlan, clock: StageClock) -> Iterator[NDArray[Any]]:
    """One row per synced frame, in order."""
    generator = job.parts.inference.generator
    with clock.stage("listen"):
        conditions = generator.listen(SpeechReader(inputs.audio.path, clock, job.options.start_s, job.options.end_s))
    inference = plan_inference(plan, job.parts.inference, conditions)
    with closing(ordered_frames(inputs.video.path, plan.clip.track, plan.timeline, clock)) as frames:
        yield from edits_of(frames, inference, clock)  # which decodes none where the generator looks at none


def _write_rows(path: Path, rows: Iterator[NDArray[Any]], count: int, progress: ProgressCallback) -> None:
    """`count` rows, alike in shape and type, as one .npy file."""
    first = next(rows)
    stored = np.lib.format.open_memmap(path, mode="w+", dtype=first.dtype, shape=(count, *first.shape))
    stored[0] = first
    for number, row in enumerate(rows, 1):
        stored[number] = row
        if number % _PROGRESS_EVERY == 0:
            progress(Progress("infer", number, count))
    stored.flush()
    progress(Progress("infer", count, count))
