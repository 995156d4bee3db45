"""Aligns faces as restoration networks expect them, and maps them back."""

from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import FIVE_POINTS, MOUTH_CORNERS, NOSE_TIP, rows
from lipsync_core.face.similarity import similarities
from lipsync_core.face.track import FaceTrack
from lipsync_core.media.planes import Box

FACE_PX = 512
#: The five points of an aligned face of 512 px: their mean positions in the FFHQ pictures, on which these
#: networks were trained, as the public face library facexlib states them (FaceRestoreHelper).
FACE_TEMPLATE: NDArray[np.float64] = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
_EYE_CORNERS = ((33, 133), (362, 263))  # of the mesh: outer and inner of the left eye, inner and outer of the right

_Picture = TypeVar("_Picture", NDArray[np.uint8], NDArray[np.float32])


def five_points(track: FaceTrack) -> NDArray[np.float32]:
    """(N, 5, 2) x y of `landmarks.FIVE_POINTS` in every frame of a track of any kind; NaN without a face.

    From a mesh, an eye's centre is the middle between its corners.
    """
    if not track.is_mesh:
        return track.landmarks[:, :, :2]
    points = track.landmarks[:, :, :2]
    eyes = [points[:, rows(corners)].mean(axis=1) for corners in _EYE_CORNERS]  # (N, 2) each
    return np.stack([*eyes, *(points[:, row] for row in rows((NOSE_TIP, *MOUTH_CORNERS)))], axis=1)


def face_alignment(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2, 3) the similarity that brings the five points (5, 2) closest to the template.

    The fit is by least squares over all five. facexlib makes a robust estimate instead: it leaves out different
    points from one frame to the next, so the face would jump.

    Raises:
        ValueError: the points are not five different ones.
    """
    if points.shape != (len(FIVE_POINTS), 2) or not np.isfinite(points).all() or not np.ptp(points, axis=0).any():
        raise ValueError(f"these are not the five points of a face: {points.tolist()}")
    return cast(NDArray[np.float64], similarities(points[np.newaxis].astype(np.float64), FACE_TEMPLATE)[0])


def inverse(transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 3) the inverse of an affine transform (2, 3)."""
    return cast(NDArray[np.float64], cv2.invertAffineTransform(transform))


def context_box(points: NDArray[np.float32]) -> Box:
    """The box of all frame pixels that an aligned face shows; it may reach beyond the frame.

    Raises:
        ValueError: the points (5, 2) are not five different ones.
    """
    back = inverse(face_alignment(points))  # (2, 3)
    last = FACE_PX - 1
    corners = np.array([[0, 0, 1], [last, 0, 1], [0, last, 1], [last, last, 1]]) @ back.T  # (4, 2)
    (x0, y0), (x1, y1) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0)) + 1
    return Box(int(x0), int(y0), int(x1), int(y1))


def warp(picture: _Picture, transform: NDArray[np.float64], size_px: tuple[int, int], border: int) -> _Picture:
    """(height, width, ...) of `picture` under a similarity (2, 3); `size_px` is (width, height), `border` OpenCV's.

    A picture that shrinks to a quarter or less is first averaged to about twice its new size, so that fine detail does
    not flicker. More averaging would blur it: a face of 50 px, brought to 512 and back, would lose twice as much.
    """
    shrink = int(0.5 / np.hypot(transform[0, 0], transform[1, 0]))  # pixels across that become one
    if shrink > 1:
        height, width = picture.shape[:2]
        small = (max(1, round(width / shrink)), max(1, round(height / shrink)))
        picture = cast(_Picture, cv2.resize(picture, small, interpolation=cv2.INTER_AREA))
        transform = transform @ _enlargement((width / small[0], height / small[1]))
    return cast(_Picture, cv2.warpAffine(picture, transform, size_px, flags=cv2.INTER_LINEAR, borderMode=border))


def _enlargement(factors: tuple[float, float]) -> NDArray[np.float64]:
    """(3, 3) from a resized picture to the original, pixel centres on integers in both."""
    across, down = factors
    return np.array([[across, 0.0, (across - 1.0) / 2.0], [0.0, down, (down - 1.0) / 2.0], [0.0, 0.0, 1.0]])
