"""The boxes that Wav2Lip crops and paints: those of the detector, padded and steadied."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import MOUTH_CORNERS, OUTER_EYE_CORNERS, rows
from lipsync_core.face.track import FaceTrack

_REACH_FRAMES = 2  # on each side: a window of 5 frames, as in the public implementation, but centred
#: The detector's box begins this share of the height above a mesh's box: 12 to 16 % on five clips with SCRFD. The
#: other three sides of the two boxes agree to 5 %.
_FOREHEAD = 0.145
_SAME_PLACE = 0.5  # overlap of two neighbouring frames' boxes below which the picture was cut


def sides_in_frame(upright: tuple[float, float, float, float], turns: int) -> NDArray[np.float64]:
    """(4,) the numbers to add to x0 y0 x1 y1 for reaches up, right, down and left of an upright face.

    `turns` quarter turns to the left make the frame's faces upright.
    """
    top, right, bottom, left = np.roll(upright, turns)
    return np.array([-left, -top, right, bottom], np.float64)


@dataclass(frozen=True, slots=True)
class FacePadding:
    """Source pixels added to the box of an upright face; the public implementation's values take in the chin."""

    top_px: int = 0
    bottom_px: int = 10
    left_px: int = 0
    right_px: int = 0

    def in_frame(self, turns: int) -> NDArray[np.float64]:
        """(4,) the numbers to add to x0 y0 x1 y1 in a frame that `turns` quarter turns to the left make upright."""
        return sides_in_frame((self.top_px, self.right_px, self.bottom_px, self.left_px), turns)


_UP = FacePadding(top_px=1, bottom_px=0)


def upright_turns(track: FaceTrack) -> int:
    """The number of quarter turns to the left (0..3) that make the faces of a clip upright.

    Frames are tracked as they are coded, and a telephone held upright codes them lying on their side.
    """
    eyes, mouth = ((0, 1), (3, 4)) if not track.is_mesh else (rows(OUTER_EYE_CORNERS), rows(MOUTH_CORNERS))
    points = track.landmarks[track.has_face, :, :2]  # (F, K, 2)
    down = (points[:, mouth].mean(axis=1) - points[:, eyes].mean(axis=1)).sum(axis=0, dtype=np.float64)  # (2,)
    quarters_to_the_right = round(float(np.arctan2(down[0], down[1])) / (np.pi / 2))  # 0 for upright faces
    return -quarters_to_the_right % 4


def face_boxes(track: FaceTrack, padding: FacePadding, turns: int = 0) -> NDArray[np.int32]:
    """(N, 4) x0 y0 x1 y1 in source pixels, half-open; may reach beyond the frame; all 0 in frames without a face.

    `turns` quarter turns to the left make the faces upright.
    """
    steady = steadied(detector_boxes(track, turns), track.has_face)
    steady[track.has_face] += padding.in_frame(turns)
    return np.rint(steady).astype(np.int32)


def detector_boxes(track: FaceTrack, turns: int = 0) -> NDArray[np.float64]:
    """(N, 4) x0 y0 x1 y1 as a detector frames the faces of `track`; all 0 in frames without one.

    Wav2Lip learned from the boxes of a detector, which begin at the hairline; a mesh ends on the forehead, and its
    box grows upwards.
    """
    boxes = np.where(track.has_face[:, np.newaxis], track.boxes, 0.0).astype(np.float64)  # (N, 4)
    if track.is_mesh:
        height_px = boxes[:, 3 - turns % 2] - boxes[:, 1 - turns % 2]  # (N,) of the upright face
        boxes += _FOREHEAD * height_px[:, np.newaxis] * _UP.in_frame(turns)
    return boxes


def steadied(boxes: NDArray[np.float64], has_face: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean of each box (N, 4) over up to 5 frames around it.

    Windows are symmetric, so that the box of a moving head does not lag: towards a cut, a gap or the end of the clip
    they shrink on both sides.
    """
    count = len(boxes)
    if count == 0:
        return boxes.copy()
    starts_shot = np.ones(count, np.bool_)
    starts_shot[1:] = ~(has_face[1:] & has_face[:-1]) | (row_overlaps(boxes[1:], boxes[:-1]) < _SAME_PLACE)
    shot_starts = np.flatnonzero(starts_shot)  # (S,)
    shot = np.cumsum(starts_shot) - 1  # (N,)
    at = np.arange(count)
    last = np.append(shot_starts[1:], count)[shot] - 1  # (N,) of the frame's own shot
    reach = np.minimum(_REACH_FRAMES, np.minimum(at - shot_starts[shot], last - at))  # (N,)
    sums = np.concatenate([np.zeros((1, 4)), np.cumsum(boxes, axis=0)])  # (N + 1, 4)
    means: NDArray[np.float64] = (sums[at + reach + 1] - sums[at - reach]) / (2 * reach + 1)[:, np.newaxis]
    return means


def row_overlaps(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) area shared over area covered, of boxes (N, 4) row by row; 0 where both are empty."""
    low, high = np.maximum(boxes[:, :2], others[:, :2]), np.minimum(boxes[:, 2:], others[:, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=1)
    covered = _areas(boxes) + _areas(others) - shared
    return np.asarray(shared / np.maximum(covered, 1e-9), np.float64)


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None).prod(axis=1), np.float64)
