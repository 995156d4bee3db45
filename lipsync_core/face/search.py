"""Finds the faces of a video frame, near and far, in rotated pictures as well."""

import av
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.detect import Detection, FaceDetector
from lipsync_core.face.rotation import quarter_turns, turned_back
from lipsync_core.media.planes import thumbnail

#: Three times the detector's input, so that a tile of a third of the picture has all the detail that it can use.
_THUMBNAIL_PX = 576


def find_faces(detector: FaceDetector, picture: av.VideoFrame, turn: int, thoroughly: bool = False) -> list[Detection]:
    """Faces in pixels of the coded picture, ordered from left to right as displayed.

    `turn` counts the quarter turns counterclockwise that make people stand upright, on top of the
    picture's own rotation. `thoroughly` finds very close and far faces as well, at about 14 times the cost.
    """
    small, scale = thumbnail(picture, _THUMBNAIL_PX)
    quarters = (quarter_turns(picture) + turn) % 4
    upright = np.ascontiguousarray(np.rot90(small, quarters))
    faces = detector.detect_thoroughly(upright) if thoroughly else detector.detect(upright)
    faces.sort(key=lambda face: float(face.centre[0]))
    return [_to_coded(face, quarters, small.shape[:2], scale) for face in faces]


def _to_coded(face: Detection, quarters: int, shape: tuple[int, ...], scale: float) -> Detection:
    """`face` from a thumbnail (of `shape` (h, w) before it was turned), in pixels of the coded picture."""
    corners = turned_back(face.box.reshape(2, 2), quarters, shape)
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    eyes = turned_back(face.eyes, quarters, shape)
    return Detection(face.score, _enlarged(box, scale), _enlarged(eyes, scale))


def _enlarged(points: NDArray[np.floating], scale: float) -> NDArray[np.float32]:
    """Convert coordinates in a picture reduced by `scale` to the whole one; pixel centres lie on integers in both."""
    return ((points + 0.5) / scale - 0.5).astype(np.float32)
