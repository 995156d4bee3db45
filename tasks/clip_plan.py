"""Everything about a job's output that follows from its face track: the same wherever it is worked out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipsync_core.catalogue import JobParts
from lipsync_core.enhance.alignment import five_points
from lipsync_core.errors import FaceError
from lipsync_core.media.probe import VideoInfo, require_video
from lipsync_core.media.working import working_picture
from lipsync_core.options import JobOptions
from lipsync_core.render import Enhancement, RenderPlan, count_outcomes, frame_outcomes
from lipsync_core.report import FrameCounts, Outcome
from lipsync_core.timeline import Timeline, plan_timeline
from lipsync_core.tracking import TrackedClip
from tasks.job import JobInputs, ServiceJob, TrackReference


@dataclass(frozen=True, slots=True, eq=False)
class ClipPlan:
    """What is decided before the first frame of the output."""

    info: VideoInfo
    clip: TrackedClip
    timeline: Timeline
    outcomes: NDArray[np.uint8]  # (M,) values of `Outcome`
    render: RenderPlan

    @property
    def counts(self) -> FrameCounts:
        """Output frames by outcome."""
        return count_outcomes(self.outcomes)

    @property
    def is_synced(self) -> NDArray[np.bool_]:
        """(M,) whether each output frame is edited."""
        synced: NDArray[np.bool_] = self.outcomes == Outcome.SYNCED
        return synced


def plan_clip(job: ServiceJob, inputs: JobInputs, clip: TrackedClip, track: TrackReference) -> ClipPlan:
    """Lay out the output.

    Raises:
        FaceError: fewer frames than asked for can be synced.
        OptionError: the excerpt lies behind the end.
    """
    info = require_video(inputs.video.path)
    timeline = plan_timeline(clip.track, track.audio_s, job.options)
    if not clip.track.has_face[timeline.source_indexes].any():
        raise _too_few_faces(FrameCounts(0, len(timeline), 0), job.options)
    painter = job.parts.model.generator.painter(clip.track, clip.findings)
    outcomes = frame_outcomes(clip.track, timeline, painter, working_picture(info))
    counts = count_outcomes(outcomes)
    if not counts.synced or counts.synced_share < job.options.min_synced:
        raise _too_few_faces(counts, job.options)
    render = RenderPlan(painter, job.parts.blender, _enhancement(job.parts, clip))
    return ClipPlan(info, clip, timeline, outcomes, render)


def _enhancement(parts: JobParts, clip: TrackedClip) -> Enhancement | None:
    return None if parts.enhancer is None else Enhancement(parts.enhancer, five_points(clip.track))


def _too_few_faces(counts: FrameCounts, options: JobOptions) -> FaceError:
    without, turned = counts.passed_no_face, counts.passed_low_score
    found = f"{counts.synced} of {counts.total} frames can be synced ({without} without a face, {turned} turned away)"
    if not counts.synced:
        return FaceError(found, "give a video in which the face is seen from the front")
    return FaceError(f"{found}, fewer than asked for", f"lower min_synced ({options.min_synced:g})")
