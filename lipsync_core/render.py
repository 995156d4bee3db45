"""The render pass: frames flow from the decoder through inference, paint and blend to the encoder."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lipsync_core.blend.contract import Blender
from lipsync_core.clock import StageClock
from lipsync_core.enhance.contract import Enhancer
from lipsync_core.enhance.frame import write_enhanced
from lipsync_core.face.track import FaceTrack
from lipsync_core.generators.contract import Painted, Painter
from lipsync_core.inference import InferredFrame
from lipsync_core.media.decode import SourceFrame, decode_in_order
from lipsync_core.media.planes import Box, read_region, write_region
from lipsync_core.media.working import WorkingPicture
from lipsync_core.report import FrameCounts, Outcome
from lipsync_core.source_video import SourceVideo
from lipsync_core.timeline import Timeline


@dataclass(frozen=True, slots=True, eq=False)
class Enhancement:
    """The enhancer of painted faces, and the points by which faces are aligned."""

    enhancer: Enhancer
    points: NDArray[np.float32]  # (N, 5, 2) of each source frame; NaN without a face


@dataclass(frozen=True, slots=True, eq=False)
class EditedRegion:
    """The painted place of a frame, as the source has it and as the encoder gets it."""

    box: Box  # in the frame
    before: NDArray[np.uint8]  # (h, w, 3) RGB
    after: NDArray[np.uint8]  # (h, w, 3) RGB
    mask: NDArray[np.float32]  # (h, w) 0..1, 0 where the source stays untouched


class EditWatch(Protocol):
    """Looks at some of the edits while frames are rendered."""

    def wants(self, number: int) -> bool:
        """Whether it looks at the edit of this frame of the output."""

    def look(self, number: int, region: EditedRegion) -> None:
        """Look at one that it wants; numbers ascend."""


@dataclass(frozen=True, slots=True, eq=False)
class RenderPlan:
    """The painter, blender and enhancer that turn edits into pixels."""

    painter: Painter
    blender: Blender
    enhancement: Enhancement | None = None


def frame_outcomes(
    track: FaceTrack, timeline: Timeline, painter: Painter, picture: WorkingPicture
) -> NDArray[np.uint8]:
    """(M,) the outcome of each output frame, values of `Outcome`."""
    by_source = np.full(len(track), Outcome.PASSED_NO_FACE, np.uint8)
    for index in np.unique(timeline.source_indexes[track.has_face[timeline.source_indexes]]):
        box = painter.region(int(index))
        is_paintable = box is not None and not box.clipped(picture.width_px, picture.height_px).is_empty
        by_source[index] = Outcome.SYNCED if is_paintable else Outcome.PASSED_LOW_SCORE
    by_source[(by_source == Outcome.SYNCED) & track.has_covered_mouth] = Outcome.PASSED_COVERED
    return by_source[timeline.source_indexes]


def count_outcomes(outcomes: NDArray[np.uint8]) -> FrameCounts:
    """Output frames by outcome."""
    counts = np.bincount(outcomes, minlength=len(Outcome))
    return FrameCounts(
        synced=int(counts[Outcome.SYNCED]),
        passed_no_face=int(counts[Outcome.PASSED_NO_FACE]),
        passed_low_score=int(counts[Outcome.PASSED_LOW_SCORE]),
        passed_covered=int(counts[Outcome.PASSED_COVERED]),
    )


def blended_frames(
    frames: Iterable[InferredFrame],
    plan: RenderPlan,
    clock: StageClock,
    watch: EditWatch | None = None,
    first: int = 0,
) -> Iterator[SourceFrame]:
    """The frames of the timeline, in order, those with an edit changed in place; others untouched.

    They begin with number `first` of the output; `watch` sees the edits that it wants.
    """
    for number, inferred in enumerate(frames, first):
        frame = inferred.frame
        if inferred.edit is not None:
            box = _visible(plan.painter.region(frame.index), frame)
            before, mask = _edit_frame(frame, plan, box, inferred.edit, clock)
            if watch is not None and watch.wants(number):
                with clock.stage("score"):
                    watch.look(number, EditedRegion(box, before, read_region(frame.picture, box), mask))
            del before, mask  # they are large, and the encoder has the frame next
        yield frame


def _edit_frame(
    frame: SourceFrame, plan: RenderPlan, box: Box, edit: NDArray[Any], clock: StageClock
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Edit the frame in `box`, and return the pixels (h, w, 3) RGB that it had there, and the mask (h, w)."""
    with clock.stage("paint", items=1):
        region = read_region(frame.picture, box)
        painted = plan.painter.paint(region, box, frame.index, edit)
    with clock.stage("blend", items=1):
        composite = plan.blender.blend(region, painted)
        if plan.enhancement is None:
            write_region(frame.picture, box, region, composite, painted.mask)
            return region, painted.mask
    enhancer, points = plan.enhancement.enhancer, plan.enhancement.points[frame.index]
    with clock.stage("enhance", items=1, provider=enhancer.provider):
        write_enhanced(frame.picture, box, Painted(composite, painted.mask), points, enhancer)
    return region, painted.mask


def _visible(box: Box | None, frame: SourceFrame) -> Box:
    """The part of a painter's `box` that lies in the frame."""
    if box is None:
        raise ValueError(f"frame {frame.index} has an edit and no face")
    return box.clipped(frame.picture.width, frame.picture.height)


def ordered_frames(
    video: SourceVideo, track: FaceTrack, timeline: Timeline, clock: StageClock
) -> Generator[SourceFrame, None, None]:
    """The source frame of every output frame."""
    yield from decode_in_order(
        video.path,
        timeline.source_indexes.tolist(),
        clock,
        frame_pts=track.frame_pts.tolist(),
        reading=video.reading,
    )
