"""Frames between decoder and encoder: pixels outside the mask are the source's, bit for bit."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.blend.feather import FeatherBlender
from lipsync_core.clock import StageClock
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.face.track import FaceTrack
from lipsync_core.generators.viseme.curves import Curve
from lipsync_core.generators.viseme.generator import VisemeGenerator
from lipsync_core.generators.viseme.painter import VisemePainting
from lipsync_core.inference import InferredFrame
from lipsync_core.media.decode import SourceFrame, decode_frames
from lipsync_core.media.planes import planes_of, read_region
from lipsync_core.media.probe import require_video
from lipsync_core.media.working import working_picture
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.render import RenderPlan, blended_frames, count_outcomes, frame_outcomes, ordered_frames
from lipsync_core.report import Outcome
from lipsync_core.source_video import SourceVideo
from lipsync_core.timeline import Timeline, plan_timeline
from tests.conftest import Ffmpeg
from tests.thorough import first_of

HALF_SECOND = Fraction(1, 2)
OPEN = np.zeros(len(Curve), np.float32)
OPEN[Curve.JAW] = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """Half a second of a video, ready to be rendered with the mouth wide open throughout."""

    video: Path
    track: FaceTrack
    timeline: Timeline
    findings: dict[str, NDArray[np.generic]]
    plan: RenderPlan

    def frames(self, passed: frozenset[int] = frozenset()) -> Iterator[SourceFrame]:
        """The blended frames; those in `passed` without an edit."""
        clock = StageClock()
        frames = ordered_frames(SourceVideo.probed(self.video), self.track, self.timeline, clock)
        inferred = (InferredFrame(frame, None if frame.index in passed else OPEN) for frame in frames)
        return blended_frames(inferred, self.plan, clock)

    def mask(self, picture: av.VideoFrame, index: int) -> np.ndarray:
        """(H, W) True where the painter asks for an edit."""
        mask = np.zeros((picture.height, picture.width), bool)
        wanted = self.plan.painter.region(index)
        assert wanted is not None
        box = wanted.clipped(picture.width, picture.height)
        painted = self.plan.painter.paint(read_region(picture, box), box, index, OPEN)
        mask[box.y0 : box.y1, box.x0 : box.x1] = painted.mask > 0
        return mask


def rendering_of(video: Path, models: ModelStore) -> Rendering:
    generator, clock = VisemeGenerator.open(models), StageClock()
    observer = generator.observer()
    track = MediapipeTracker(models).track(decode_frames(video, clock, HALF_SECOND), clock, observer)
    timeline = plan_timeline(track, HALF_SECOND, JobOptions())
    findings = observer.findings()
    painter = VisemePainting().painter(track, findings)
    return Rendering(video, track, timeline, findings, RenderPlan(painter, FeatherBlender()))


VARIANTS = {
    "8 bit": ("-pix_fmt", "yuv420p"),
    "10 bit": ("-pix_fmt", "yuv420p10le"),
    "full range": ("-vf", "scale=out_range=full", "-pix_fmt", "yuvj420p"),
    "4:4:4": ("-pix_fmt", "yuv444p"),
    "odd size": ("-vf", "crop=501:327:70:20", "-pix_fmt", "yuv444p"),
}


@pytest.mark.parametrize("variant", first_of(list(VARIANTS), 3))
def test_nothing_outside_the_mask_changes_by_a_code_value(
    variant: str, face_clip: Path, model_store: ModelStore, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    video = tmp_path / "video.mp4"
    ffmpeg("-i", face_clip, "-frames:v", "13", "-an", *VARIANTS[variant], "-crf", "12", video)
    rendering = rendering_of(video, model_store)
    for source, frame in zip(decode_frames(video, StageClock()), rendering.frames(), strict=True):
        mask = rendering.mask(source.picture, source.index)
        before, after = planes_of(source.picture), planes_of(frame.picture)
        assert (before.luma[mask] != after.luma[mask]).mean() > 0.3  # the mouth did change
        assert np.array_equal(before.luma[~mask], after.luma[~mask])
        height, width = before.blue.shape
        blocks = mask[: height * before.step_y, : width * before.step_x]
        inside = blocks.reshape(height, before.step_y, width, before.step_x).all((1, 3))
        assert np.array_equal(before.blue[~inside], after.blue[~inside])
        assert np.array_equal(before.red[~inside], after.red[~inside])


def test_an_edit_does_not_reach_the_neighbouring_frames(face_video: Path, model_store: ModelStore) -> None:
    # Editing planes that the decoder still refers to corrupted 37 of 40 frames.
    edited = rendering_of(face_video, model_store).frames(passed=frozenset(range(1, 100, 2)))
    for source, frame in zip(decode_frames(face_video, StageClock(), HALF_SECOND), edited, strict=True):
        is_same = np.array_equal(source.picture.to_ndarray(), frame.picture.to_ndarray())
        assert is_same == bool(source.index % 2)


def test_outcomes_tell_no_face_from_a_face_turned_away(face_clip: Path, model_store: ModelStore) -> None:
    rendering = rendering_of(face_clip, model_store)
    track = rendering.track
    scores = track.scores.copy()
    scores[3], scores[5] = 0.0, 0.3
    landmarks = track.landmarks.copy()
    landmarks[3] = np.nan
    weak = replace(track, scores=scores, landmarks=landmarks)
    painter = VisemePainting().painter(weak, rendering.findings)
    picture = working_picture(require_video(face_clip))
    outcomes = frame_outcomes(weak, rendering.timeline, painter, picture)
    assert outcomes[3] == Outcome.PASSED_NO_FACE
    assert outcomes[5] == Outcome.PASSED_LOW_SCORE
    counts = count_outcomes(outcomes)
    assert (counts.synced, counts.passed_no_face, counts.passed_low_score) == (len(outcomes) - 2, 1, 1)


def test_a_covered_mouth_is_an_outcome_of_its_own(face_clip: Path, model_store: ModelStore) -> None:
    rendering = rendering_of(face_clip, model_store)
    track, painter, picture = rendering.track, rendering.plan.painter, working_picture(require_video(face_clip))
    assert (frame_outcomes(track, rendering.timeline, painter, picture) == Outcome.SYNCED).all()
    covered = replace(track, covered=np.ones(len(track), bool))
    counts = count_outcomes(frame_outcomes(covered, rendering.timeline, painter, picture))
    assert (counts.passed_covered, counts.synced, counts.total) == (len(track), 0, len(rendering.timeline))
