"""The stretches of a video in which one face is seen without a break, and the squares that are cut out of it.

Method and constants are those of the public implementation (joonson/syncnet_python 6efbb1c, run_pipeline.py), with the
face track of this product in the place of its detections.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.track import FaceTrack
from lipsync_core.generators.crop import crop_face
from lipsync_core.generators.wav2lip_boxes import detector_boxes, row_overlaps, sides_in_frame, upright_turns
from lipsync_core.media.planes import Box, read_region
from lipsync_core.media.source_frame import SourceFrame
from lipsync_core.syncnet.network import CROP_PX

#: A stretch has more pictures with a face than this; the public `min_track`, 4 s.
FEWEST_FRAMES = 100
#: Its face is larger than this on average, by the longer side of its box; the public `min_face_size`.
LEAST_PX = 100
_LONGEST_GAP = 25  # pictures without a face inside a stretch, `num_failed_det`
_SAME_FACE = 0.5  # overlap of two boxes that follow each other; a stretch has no two that overlap less
_SMOOTHED = 13  # pictures of the median
#: From the middle of the box, in halves of its longer side: up, right, down, left; `crop_scale` is .4.
_REACH = (1.0, 1.4, 1.8, 1.4)
_GREY = (110, 110, 110)  # beyond the picture


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Stretch:
    """Consecutive pictures, at 25 a second, that show one face."""

    first: int  # the number of its first picture
    frames: NDArray[np.int32]  # (F,) the source's frames that are shown
    boxes: NDArray[np.int64]  # (F, 4) x0 y0 x1 y1 of the squares to cut out, half-open; may reach beyond the frame
    turns: int  # quarter turns to the left that make the face upright

    def __len__(self) -> int:
        return len(self.frames)


def find_stretches(track: FaceTrack, shown: NDArray[np.int32]) -> list[Stretch]:
    """The stretches of the video whose frames `shown` (T,) are seen at 25 a second."""
    turns = upright_turns(track) if track.has_face.any() else 0
    boxes = detector_boxes(track, turns)[shown]  # (T, 4)
    found = np.flatnonzero(track.has_face[shown])
    is_broken = np.diff(found) > _LONGEST_GAP
    is_broken |= row_overlaps(boxes[found[1:]], boxes[found[:-1]]) <= _SAME_FACE
    stretches = []
    for seen in np.split(found, np.flatnonzero(is_broken) + 1):
        if len(seen) > FEWEST_FRAMES and _mean_px(boxes[seen]) > LEAST_PX:
            frames = np.arange(seen[0], seen[-1] + 1)
            filled = np.stack([np.interp(frames, seen, boxes[seen, side]) for side in range(4)], axis=1)  # (F, 4)
            stretches.append(Stretch(int(seen[0]), shown[frames], _squares(filled, turns), turns))
    return stretches


def crop_upright(frame: SourceFrame, box: Box, turns: int) -> NDArray[np.uint8]:
    """(224, 224, 3) uint8 BGR, upright: the pixels of `frame` in `box`, grey beyond its edges."""
    picture = frame.picture
    inside = box.clipped(picture.width, picture.height)
    if inside.is_empty:
        return np.full((CROP_PX, CROP_PX, 3), _GREY, np.uint8)
    edges = (inside.y0 - box.y0, box.y1 - inside.y1, inside.x0 - box.x0, box.x1 - inside.x1)
    pixels = cv2.copyMakeBorder(read_region(picture, inside), *edges, cv2.BORDER_CONSTANT, value=_GREY)
    return np.rot90(crop_face(np.asarray(pixels, np.uint8), CROP_PX), turns)[:, :, ::-1]


def _mean_px(boxes: NDArray[np.float64]) -> float:
    """The mean width or height of boxes (K, 4), whichever is larger."""
    return float((boxes[:, 2:] - boxes[:, :2]).mean(axis=0).max())


def _squares(boxes: NDArray[np.float64], turns: int) -> NDArray[np.int64]:
    """(F, 4) the squares around boxes (F, 4), whose middles and sizes are smoothed."""
    half_px = _smoothed((boxes[:, 2:] - boxes[:, :2]).max(axis=1) / 2)  # (F,)
    middles = np.stack([_smoothed((boxes[:, axis] + boxes[:, axis + 2]) / 2) for axis in range(2)], axis=1)  # (F, 2)
    squares = np.tile(middles, 2) + half_px[:, np.newaxis] * sides_in_frame(_REACH, turns)
    return np.floor(squares).astype(np.int64)


def _smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F,) the median of 13 values around each, with zeros beyond both ends, as scipy's `medfilt` has them."""
    padded = np.pad(values, _SMOOTHED // 2)
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, _SMOOTHED), axis=1), np.float64)
