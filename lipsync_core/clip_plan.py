"""Everything about a job's output that is decided before its first frame: the same wherever it is worked out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.catalogue import JobParts
from lipsync_core.enhance.alignment import five_points
from lipsync_core.enhance.contract import Enhancer
from lipsync_core.errors import FaceError
from lipsync_core.generators.contract import Conditions
from lipsync_core.inference import InferencePlan
from lipsync_core.media.encode import EncoderOptions
from lipsync_core.media.probe import VideoInfo
from lipsync_core.media.sound import AudioCut
from lipsync_core.media.working import working_picture
from lipsync_core.options import JobOptions
from lipsync_core.render import Enhancement, RenderPlan, count_outcomes, frame_outcomes
from lipsync_core.report import FrameCounts, Outcome
from lipsync_core.timeline import Timeline
from lipsync_core.tracking import TrackedClip


@dataclass(frozen=True, slots=True, eq=False)
class ClipPlan:
    """Which source frame is shown when, what becomes of it, and who does it."""

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

    def require_synced(self, name: str, min_synced: float) -> None:
        """Make sure that the share `min_synced` (0..1) of the frames, and at least one, of video `name` is synced.

        Raises:
            FaceError: it is not.
        """
        if not self.counts.synced or self.counts.synced_share < min_synced:
            raise _too_few_faces(self.counts, name, min_synced)


def plan_clip(clip: TrackedClip, timeline: Timeline, info: VideoInfo, parts: JobParts, name: str) -> ClipPlan:
    """Decide what becomes of every frame of `timeline`; `name` is that of the video in messages.

    Raises:
        FaceError: no frame has a face.
    """
    if not clip.track.has_face[timeline.source_indexes].any():
        raise _too_few_faces(FrameCounts(0, len(timeline), 0), name, 0.0)
    painter = parts.model.generator.painter(clip.track, clip.findings)
    outcomes = frame_outcomes(clip.track, timeline, painter, working_picture(info))
    enhancement = None if parts.enhancer is None else Enhancement(parts.enhancer, five_points(clip.track))
    return ClipPlan(info, clip, timeline, outcomes, RenderPlan(painter, parts.blender, enhancement))


def plan_inference(plan: ClipPlan, parts: JobParts, conditions: Conditions) -> InferencePlan:
    """What the generator of `parts` is asked for every synced frame."""
    generator, timeline = parts.model.generator, plan.timeline
    return InferencePlan(
        generator=generator,
        conditions=conditions,
        cropper=generator.cropper(plan.clip.track),
        times_s=timeline.starts_s() if generator.spec.hears_at == "start" else timeline.middles_s(),
        is_synced=plan.is_synced,
    )


def output_sound(audio: Path, timeline: Timeline, options: JobOptions) -> AudioCut:
    """The part of the given sound that the output carries."""
    end_s = options.start_s + timeline.duration_s if options.length == "video" else options.end_s
    return AudioCut(audio, options.start_s, end_s)


def output_labels(parts: JobParts) -> Mapping[str, str]:
    """Says in the file itself that the speech is synthetic, by which model and under which licence."""
    spec, sha256 = parts.model.generator.spec, parts.model.weights_sha256
    weights = f", weights sha256 {sha256}" if sha256 else ""
    made = f"Lip-synced by lipsync with {spec.name}/{spec.version} ({spec.licence}){weights}"
    enhanced = f"; enhanced with {enhancer_name(parts.enhancer)}" if parts.enhancer else ""
    return {"comment": made + enhanced}


def encoder_options(options: JobOptions) -> EncoderOptions:
    """How the output is compressed."""
    return EncoderOptions(options.encoder, options.crf, options.preset)


def enhancer_name(enhancer: Enhancer) -> str:
    """Name, version and licence."""
    spec = enhancer.spec
    return f"{spec.name}/{spec.version} ({spec.licence})"


def _too_few_faces(counts: FrameCounts, name: str, min_synced: float) -> FaceError:
    without, turned = counts.passed_no_face, counts.passed_low_score
    found = f"{counts.synced} of {counts.total} frames can be synced ({without} without a face, {turned} turned away)"
    if not counts.synced:
        return FaceError(f"{name}: {found}", "give a video in which the face is seen from the front")
    return FaceError(f"{name}: {found}, fewer than asked for", f"ask for less than min-synced {min_synced:g}")
