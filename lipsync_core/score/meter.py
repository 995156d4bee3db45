"""Measures the mouth in the frames that go to the encoder: on their pixels, by a mesh where the face is known to be."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.face.landmarks import OUTER_EYE_CORNERS, rows
from lipsync_core.face.mesh import FaceCrop, MeshFitter
from lipsync_core.face.track import FaceTrack
from lipsync_core.inference import InferredFrame
from lipsync_core.media.decode import SourceFrame
from lipsync_core.render import RenderPlan, blended_frames
from lipsync_core.score.events import PRESSED, stretches
from lipsync_core.score.motion import SeenMouths, mouths_of
from lipsync_core.score.pictures import PictureMeter
from lipsync_core.score.seen import Seen

#: So many frames a second are measured, beside those in which the lips should meet. What is wanted between them is
#: known, so that fewer frames make an offset less sure, and not coarser.
MEASURED_HZ = 8
_ENOUGH = 30  # frames
_CROP_SCALE = 1.5  # as the mesh was trained, and as `face.mesh` follows a face
_MIN_PRESENCE = 0.5
_STAGE = "score"
_EYES = rows(OUTER_EYE_CORNERS)


def frames_to_measure(
    is_synced: NDArray[np.bool_], closures: NDArray[np.float64], frame_rate: Fraction | float
) -> NDArray[np.bool_]:
    """(M,) the synced frames to measure: every third one or so, and one of every wanted closure.

    Of a short movie more are measured. `closures` (M,) are the wanted ones of every frame, 0..1.
    """
    step = max(1, min(round(float(frame_rate) / MEASURED_HZ), len(is_synced) // _ENOUGH))
    measured: NDArray[np.bool_] = np.arange(len(is_synced)) % step == 0
    for first, last in stretches(closures >= PRESSED):
        if not measured[first : last + 1].any():
            measured[(first + last) // 2] = True
    return measured & is_synced


@dataclass(slots=True, eq=False)
class MouthMeter:
    """Measures the mouths and pictures of a movie. A copy of it in another process measures a part of the movie."""

    fitter: MeshFitter
    track: FaceTrack
    is_measured: NDArray[np.bool_]  # (M,) by the number of a frame in the output
    pictures: PictureMeter
    _rows: list[tuple[int, float, float]] = field(default_factory=list)

    def metered(self, frames: Iterator[SourceFrame], clock: StageClock, first: int = 0) -> Iterator[SourceFrame]:
        """Yield `frames`, which begin with number `first` of the output, and measure some of them on their way."""
        for number, frame in enumerate(frames, first):
            if self.is_measured[number]:
                with clock.stage(_STAGE, items=1):
                    self._measure(number, frame)
            yield frame

    def taken(self) -> Seen:
        """All that was measured since it was asked last."""
        taken, self._rows = self._rows, []
        return Seen(SeenMouths.of_rows(taken), self.pictures.taken())

    def _measure(self, number: int, frame: SourceFrame) -> None:
        crop = _crop(self.track, frame.index)
        mesh = None if crop is None else self.fitter.fit(frame.picture, crop)
        if mesh is not None and mesh.presence >= _MIN_PRESENCE:
            opening, width = mouths_of(mesh.points)
            self._rows.append((number, float(opening), float(width)))


def measured_frames(
    edited: Iterable[InferredFrame], plan: RenderPlan, meter: MouthMeter | None, clock: StageClock, first: int = 0
) -> Iterator[SourceFrame]:
    """The blended frames, which begin with number `first` of the output, measured by `meter` where there is one."""
    if meter is None:
        return blended_frames(edited, plan, clock)
    return meter.metered(blended_frames(edited, plan, clock, meter.pictures, first), clock, first)


def _crop(track: FaceTrack, frame_index: int) -> FaceCrop | None:
    """The square around the followed face; None where there is none."""
    if not track.has_face[frame_index]:
        return None
    box, points = track.boxes[frame_index], track.landmarks[frame_index, :, :2]
    left, right = points[_EYES] if track.is_mesh else points[:2]
    roll_rad = float(np.arctan2(right[1] - left[1], right[0] - left[0]))
    return FaceCrop((box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max()) * _CROP_SCALE, roll_rad)
