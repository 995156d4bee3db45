"""Finds every face in a picture: BlazeFace, full-range model.

Method and constants (192 px input in [-1, 1], one anchor on each cell of a 48 x 48 grid, offsets in
input pixels, sigmoid scores, blended non-maximum suppression) are those published with the model:
Bazarevsky et al. 2019, "BlazeFace: Sub-millisecond neural face detection on mobile GPUs", and the
MediaPipe full-range model card and graph.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.tflite import TfliteModel

_GRID = 48
_MIN_SCORE = 0.5
_SAME_FACE_IOU = 0.3
_MAX_LOGIT = 80.0  # keeps exp() finite
#: Far faces are searched in square tiles of a third of the longer side, where the model sees them three times as large.
_TILE_SHARE = 1 / 3


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One detected face, in pixels of the given picture."""

    score: float  # 0..1
    box: NDArray[np.float32]  # (4,) x0 y0 x1 y1, brow to chin
    eyes: NDArray[np.float32]  # (2, 2) centres x y, first the eye on the left of an upright face

    def __repr__(self) -> str:
        return f"Detection({self.score:.2f}, box {self.box.round().astype(int).tolist()})"

    @property
    def centre(self) -> NDArray[np.float32]:
        """(2,) x y of the middle of the box."""
        middle: NDArray[np.float32] = self.box.reshape(2, 2).mean(axis=0)
        return middle

    @property
    def size_px(self) -> float:
        """The longer side of the box."""
        return float((self.box[2:] - self.box[:2]).max())


class FaceDetector:
    """The detector network and the decoding of its outputs into faces.

    Raises:
        ModelError: the file is not a model that can be run.
    """

    def __init__(self, model: Path) -> None:
        self._model = TfliteModel(model)
        cells = (np.arange(_GRID, dtype=np.float32) + 0.5) / _GRID
        self._anchors = np.stack(np.meshgrid(cells, cells), axis=-1).reshape(-1, 2)  # (2304, 2) x y in 0..1

    def detect(self, picture: NDArray[np.uint8]) -> list[Detection]:
        """Faces in `picture` ((h, w, 3) RGB, face upright within about 45 degrees), best first."""
        height, width = picture.shape[:2]
        side = max(height, width)
        left, top = (side - width) // 2, (side - height) // 2
        square = np.zeros((side, side, 3), np.uint8)
        square[top : top + height, left : left + width] = picture
        size = self._model.size_px
        method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        small = cv2.resize(square, (size, size), interpolation=method).astype(np.float32) / 127.5 - 1
        offsets, logits = self._model.run(small)  # (1, 2304, 16), (1, 2304, 1)
        scores = 1 / (1 + np.exp(-np.clip(logits[0, :, 0], -_MAX_LOGIT, _MAX_LOGIT)))
        likely = scores > _MIN_SCORE
        if not likely.any():
            return []
        points = offsets[0, likely].reshape(-1, 8, 2) / size  # centre, width height, six face points
        points[:, 0] += self._anchors[likely]
        points[:, 2:] += self._anchors[likely, np.newaxis]
        boxes = np.concatenate([points[:, 0] - points[:, 1] / 2, points[:, 0] + points[:, 1] / 2], axis=1)
        # From shares of the square to pixels, whose centres lie on integers.
        corner = np.array([left, top], np.float32) + 0.5
        return _blend(scores[likely], boxes * side - np.tile(corner, 2), points[:, 2:4] * side - corner)

    def detect_thoroughly(self, picture: NDArray[np.uint8]) -> list[Detection]:
        """As `detect`, and finds faces too small or too large for it as well, at about 14 times its cost."""
        margin = max(picture.shape[:2]) // 2  # a face that fills the picture is only found with space around it
        framed = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)))
        found = self.detect(picture) + _moved(self.detect(framed), -margin, -margin)
        for left, top, tile in _tiles(picture):
            found += _moved(self.detect(tile), left, top)
        if not found:
            return []
        scores, boxes = np.array([face.score for face in found]), np.array([face.box for face in found])
        return _blend(scores, boxes, np.array([face.eyes for face in found]))


def _moved(faces: list[Detection], right: int, down: int) -> list[Detection]:
    offset = np.array([right, down], np.float32)
    return [Detection(face.score, face.box + np.tile(offset, 2), face.eyes + offset) for face in faces]


def _tiles(picture: NDArray[np.uint8]) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """(left, top, pixels) of overlapping tiles that cover the picture."""
    height, width = picture.shape[:2]
    side = round(max(height, width) * _TILE_SHARE)
    for top in _starts(height, side):
        for left in _starts(width, side):
            yield left, top, picture[top : top + side, left : left + side]


def _starts(length: int, side: int) -> Sequence[int]:
    """The starts of tiles of `side` that cover `length` and overlap by at least a third of a tile."""
    if length <= side:
        return (0,)
    steps = int(np.ceil((length - side) / (side * 2 / 3)))
    return [round(k * (length - side) / steps) for k in range(steps + 1)]


def _blend(scores: NDArray[np.floating], boxes: NDArray[np.floating], eyes: NDArray[np.floating]) -> list[Detection]:
    """Merge overlapping candidates into their score-weighted mean (the paper's remedy for jitter)."""
    faces = []
    remaining = np.argsort(-scores)
    while remaining.size:
        best = remaining[0]
        same = overlap(boxes[best], boxes[remaining]) > _SAME_FACE_IOU
        same[0] = True
        group = remaining[same]
        weights = scores[group] / scores[group].sum()
        box = np.tensordot(weights, boxes[group], 1).astype(np.float32)
        faces.append(Detection(float(scores[best]), box, np.tensordot(weights, eyes[group], 1).astype(np.float32)))
        remaining = remaining[~same]
    return faces


def overlap(box: NDArray[np.floating], boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    """(N,) intersection over union of `box` (4,) with each of `boxes` (N, 4)."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:], boxes[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    area = (box[2:] - box[:2]).prod()
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    joint: NDArray[np.floating] = shared / np.maximum(area + areas - shared, 1e-6)
    return joint
