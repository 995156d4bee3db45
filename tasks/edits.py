"""The edits of a job: one row for every frame that is synced, in a file that is never whole in memory."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsync_core import inference as core
from lipsync_core.clip_plan import ClipPlan, lay_out, plan_inference
from lipsync_core.clock import StageClock
from lipsync_core.generators.contract import Conditions
from lipsync_core.listening import listen
from lipsync_core.render import ordered_frames
from lipsync_core.report import Progress, ProgressCallback
from lipsync_core.segment_work import cut
from lipsync_service.errors import ChecksumError
from tasks.inference import InferenceJob, MeasuredSound
from tasks.job import EditsReference, TrackReference
from tasks.stage_log import StageMeter
from tasks.tracks import read_clip

_PROGRESS_EVERY = 25  # frames
_LEAST_HEARD_S = 2  # seconds, of the sound around a part


def kept_or_inferred_edits(
    inference: InferenceJob, heard: MeasuredSound, track: TrackReference, meter: StageMeter, progress: ProgressCallback
) -> EditsReference:
    """Work out the edits, or take those that an earlier run of the same job kept.

    Raises:
        FaceError: fewer frames than asked for can be synced.
        ModelError: the model's network fails.
        TransientError: the shared storage does not answer.
    """
    job, url = inference.job, inference.edits_url
    meter.was_cached = job.files.take(url)
    if meter.was_cached:
        return EditsReference(url, was_cached=True)
    plan = _plan(inference, track)
    path = job.folder / "edits.npy"
    meter.items = plan.counts.synced
    conditions = heard.conditions or _listened(inference, meter.clock)
    _write_rows(path, _edits(inference, plan, conditions, meter.clock), meter.items, progress)
    meter.size_bytes = path.stat().st_size
    job.files.put_shared(path, url)
    return EditsReference(url, was_cached=False)


def left_to_others(inference: InferenceJob, track: TrackReference) -> EditsReference | None:
    """The edits of a long movie, which other runs are to infer; None where this run infers them, or has them.

    Raises:
        FaceError: fewer frames than asked for can be synced.
        TransientError: the shared storage does not answer.
    """
    job = inference.job
    if not inference.is_divided or job.files.take(inference.edits_url):
        return None
    segments = cut(_plan(inference, track), job.longest_segment_s)
    return EditsReference(inference.edits_url, was_cached=False, count=len(segments)) if len(segments) > 1 else None


def infer_part(
    inference: InferenceJob,
    track: TrackReference,
    frames: range,
    path: Path,
    meter: StageMeter,
    progress: ProgressCallback,
) -> None:
    """Write the edits of the synced ones among the output's `frames` to `path`.

    Raises: as `kept_or_inferred_edits`.
    """
    whole = _plan(inference, track)
    plan = whole.part(frames)
    meter.items = plan.counts.synced
    conditions = _heard_around(inference, plan, track.sound_end_s, meter.clock)
    _write_rows(path, _edits(inference, plan, conditions, meter.clock), meter.items, progress)


def _heard_around(inference: InferenceJob, plan: ClipPlan, end_s: Fraction, clock: StageClock) -> Conditions:
    """The conditions of a part of the movie: of its own sound, and of the end where it goes on behind the sound."""
    job, generator = inference.job, inference.parts.inference.generator
    starts_s = plan.timeline.starts_s()
    first_s = max(Fraction(0), min(Fraction(float(starts_s[0])), end_s - _LEAST_HEARD_S))
    until_s = Fraction(float(starts_s[-1])) + _LEAST_HEARD_S
    options = replace(job.options, start_s=first_s, end_s=None if until_s >= end_s else until_s)
    return listen(generator, inference.inputs.audio.path, options, clock).conditions


def _plan(inference: InferenceJob, track: TrackReference) -> ClipPlan:
    job, painting = inference.job, inference.parts.inference.painting
    return lay_out(inference.inputs.video, read_clip(job, track), track.sound_end_s, painting, job.options)


def open_edits(path: Path, plan: ClipPlan) -> NDArray[Any]:
    """(synced, ...) the rows that `kept_or_inferred_edits` wrote, read from the disk as they are used.

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


def _listened(inference: InferenceJob, clock: StageClock) -> Conditions:
    """Listen again: the kept edits have vanished since `hear`."""
    job = inference.job
    return listen(inference.parts.inference.generator, inference.inputs.audio.path, job.options, clock).conditions


def _edits(
    inference: InferenceJob, plan: ClipPlan, conditions: Conditions, clock: StageClock
) -> Iterator[NDArray[Any]]:
    """One row per synced frame, in order."""
    inference_plan = plan_inference(plan, inference.parts.inference, conditions)
    with closing(ordered_frames(plan.video, plan.clip.track, plan.timeline, clock)) as frames:
        yield from core.infer_edits(frames, inference_plan, clock)  # decodes none where the generator looks at none


def _write_rows(path: Path, rows: Iterator[NDArray[Any]], count: int, progress: ProgressCallback) -> None:
    """`count` rows, alike in shape and type, as one .npy file."""
    first = next(rows, None)
    if first is None:  # of a part of which no frame is synced
        np.save(path, np.zeros(0))
        return
    stored = np.lib.format.open_memmap(path, mode="w+", dtype=first.dtype, shape=(count, *first.shape))
    stored[0] = first
    for number, row in enumerate(rows, 1):
        stored[number] = row
        if number % _PROGRESS_EVERY == 0:
            progress(Progress("infer", number, count))
    stored.flush()
    progress(Progress("infer", count, count))
