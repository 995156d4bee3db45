"""The plan of a clip: all decisions about a job's output that are made before its first frame, on any machine alike."""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipsync_core.catalogue import InferenceParts, RenderingParts
from lipsync_core.enhance.alignment import five_points
from lipsync_core.errors import FaceError
from lipsync_core.generators.contract import Conditions, Painter, PaintingHalf
from lipsync_core.inference import InferencePlan
from lipsync_core.options import JobOptions
from lipsync_core.render import Enhancement, RenderPlan, count_outcomes, frame_outcomes
from lipsync_core.report import FrameCounts, Outcome
from lipsync_core.source_video import SourceVideo
from lipsync_core.timeline import Timeline, plan_timeline
from lipsync_core.tracking import TrackedClip


@dataclass(frozen=True, slots=True, eq=False)
class ClipPlan:
    """The source frame and the outcome of every output frame."""

    video: SourceVideo
    clip: TrackedClip
    timeline: Timeline
    outcomes: NDArray[np.uint8]  # (M,) values of `Outcome`
    painter: Painter

    @property
    def counts(self) -> FrameCounts:
        """Output frames by outcome."""
        return count_outcomes(self.outcomes)

    @property
    def is_synced(self) -> NDArray[np.bool_]:
        """(M,) whether each output frame is edited."""
        synced: NDArray[np.bool_] = self.outcomes == Outcome.SYNCED
        return synced

    def part(self, frames: range) -> "ClipPlan":
        """The plan of these output frames alone: painted from the findings of the whole clip."""
        outcomes = self.outcomes[frames.start : frames.stop]
        return replace(self, timeline=self.timeline.part(frames), outcomes=outcomes)


def lay_out(
    video: SourceVideo, clip: TrackedClip, heard_until_s: Fraction, painting: PaintingHalf, options: JobOptions
) -> ClipPlan:
    """Lay the frames of `clip` under sound that ends at `heard_until_s`, and decide the outcome of each.

    Raises:
        FaceError: fewer frames than `options` ask for can be synced, or none.
        OptionError: the excerpt lies after the end.
    """
    timeline = plan_timeline(clip.track, heard_until_s, options, video.lead_s)
    return plan_clip(video, clip, timeline, painting, options.min_synced)


def plan_clip(
    video: SourceVideo, clip: TrackedClip, timeline: Timeline, painting: PaintingHalf, min_synced: float
) -> ClipPlan:
    """Decide the outcome of every frame of `timeline`; at least the share `min_synced` (0..1) has to be synced.

    Raises:
        FaceError: fewer frames can be synced, or none.
    """
    if not clip.track.has_face[timeline.source_indexes].any():
        raise _too_few_faces(FrameCounts(0, len(timeline), 0), video.name, 0.0)
    painter = painting.painter(clip.track, clip.findings)
    outcomes = frame_outcomes(clip.track, timeline, painter, video.picture)
    plan = ClipPlan(video, clip, timeline, outcomes, painter)
    if not plan.counts.synced or plan.counts.synced_share < min_synced:
        raise _too_few_faces(plan.counts, video.name, min_synced)
    return plan


def plan_inference(plan: ClipPlan, parts: InferenceParts, conditions: Conditions) -> InferencePlan:
    """The inputs of the generator of `parts` for every synced frame."""
    generator, timeline = parts.generator, plan.timeline
    return InferencePlan(
        generator=generator,
        conditions=conditions,
        cropper=generator.cropper(plan.clip.track),
        times_s=timeline.starts_s() if generator.spec.hears_at == "start" else timeline.middles_s(),
        is_synced=plan.is_synced,
    )


def plan_rendering(plan: ClipPlan, parts: RenderingParts) -> RenderPlan:
    """The painter, blender and enhancer of the synced frames."""
    enhancement = None if parts.enhancer is None else Enhancement(parts.enhancer, five_points(plan.clip.track))
    return RenderPlan(plan.painter, parts.blender, enhancement)


def _too_few_faces(counts: FrameCounts, name: str, min_synced: float) -> FaceError:
    passed = [f"{counts.passed_no_face} without a face", f"{counts.passed_low_score} turned away"]
    if counts.passed_covered:
        passed.append(f"{counts.passed_covered} with the mouth covered")
    found = f"{counts.synced} of {counts.total} frames can be synced ({', '.join(passed)})"
    if not counts.synced:
        whole = " and uncovered" if counts.passed_covered else ""
        return FaceError(f"{name}: {found}", f"give a video in which the face is seen from the front{whole}")
    return FaceError(f"{name}: {found}, fewer than asked for", f"ask for less than min-synced {min_synced:g}")
