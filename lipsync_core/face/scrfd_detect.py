"""Finds every face in a picture with its five points: SCRFD.

Guo et al. 2021, "Sample and Computation Redistribution for Efficient Face Detection". The network's input
and the decoding of its outputs follow InsightFace's own code for these models (MIT): mean 127.5, standard
deviation 128, the picture shrunk into the top left corner of a black square, two candidates on each cell of
three grids, distances in cells. Boxes and points are equal to that code's but for float rounding.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.errors import ModelError
from lipsync_core.execution import OpeningProvider, Provider
from lipsync_core.face.detect import overlap
from lipsync_core.face.landmarks import FIVE_POINTS
from lipsync_core.network import Network
from lipsync_core.network_opening import open_network

_STRIDES_PX = (8, 16, 32)
_CANDIDATES = 2  # on each cell
_MIN_SCORE = 0.5
_SAME_FACE_IOU = 0.4
#: Numbers for each candidate: a score, the distances to a box's four sides, the offsets of five points.
_WIDTHS = (1, 4, 2 * len(FIVE_POINTS))


@dataclass(frozen=True, slots=True, eq=False)
class FivePointFace:
    """One detected face, in pixels of the given picture."""

    score: float  # 0..1
    box: NDArray[np.float32]  # (4,) x0 y0 x1 y1, hairline to chin; it may leave the picture
    points: NDArray[np.float32]  # (5, 2) x y, in the order of FIVE_POINTS

    def __repr__(self) -> str:
        return f"FivePointFace({self.score:.2f}, box {self.box.round().astype(int).tolist()})"

    @property
    def size_px(self) -> float:
        """The longer side of the box."""
        return float((self.box[2:] - self.box[:2]).max())


class ScrfdDetector:
    """The detector network and the decoding of its outputs into faces.

    Raises:
        ModelError: the file is not an SCRFD network with five points, or cannot be opened.
    """

    def __init__(self, model: Path | Network, provider: OpeningProvider = "cpu") -> None:
        # On one thread, the CPU time of a frame is charged to the stage that asked for it.
        self._model = open_network(model, provider, threads=1)
        if len(self._model.inputs) != 1 or len(self._model.outputs) != len(_WIDTHS) * len(_STRIDES_PX):
            raise ModelError(f"{self._model.label} is not an SCRFD network with five points: {self._model!r}")

    @property
    def provider(self) -> Provider:
        """The execution provider of the network."""
        return self._model.provider

    def detect(self, picture: NDArray[np.uint8], input_px: int) -> list[FivePointFace]:
        """Faces in `picture` ((h, w, 3) RGB), best first.

        `input_px`, a multiple of 32, is the side of the network's input: small faces need a large one, and
        faces that fill the picture a small one.
        """
        square, scale = _letterbox(picture, input_px)
        rows = self._candidates((square.astype(np.float32) - 127.5) / 128.0)
        if not len(rows):
            return []
        rows = rows[np.argsort(-rows[:, 0], kind="stable")]
        scores, boxes, points = rows[:, 0], rows[:, 1:5] / scale, rows[:, 5:].reshape(-1, len(FIVE_POINTS), 2) / scale
        return [FivePointFace(float(scores[row]), boxes[row], points[row]) for row in _without_repeats(boxes)]

    def _candidates(self, square: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 15) score, box and points of all likely candidates, in pixels of `square` ((s, s, 3) RGB)."""
        feed = np.ascontiguousarray(square.transpose(2, 0, 1)[np.newaxis])  # (1, 3, s, s)
        outputs = self._model.run({self._model.inputs[0].name: feed})
        levels = len(_STRIDES_PX)
        found = []
        for level, stride_px in enumerate(_STRIDES_PX):
            scores, sides, offsets = (
                output.reshape(-1, width) for output, width in zip(outputs[level::levels], _WIDTHS, strict=True)
            )
            likely = scores[:, 0] >= _MIN_SCORE
            at = _cells(len(square), stride_px)[likely]  # (n, 2)
            sides, offsets = sides[likely] * np.float32(stride_px), offsets[likely] * np.float32(stride_px)
            points = offsets + np.tile(at, len(FIVE_POINTS))
            found.append(np.concatenate([scores[likely], at - sides[:, :2], at + sides[:, 2:], points], axis=1))
        return np.concatenate(found)


def _letterbox(picture: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], float]:
    """(side, side, 3): `picture` reduced into the top left corner, black elsewhere; and the scale of the reduction."""
    height, width = picture.shape[:2]
    if height > width:
        size = (max(1, int(side / (height / width))), side)
    else:
        size = (side, max(1, int(side * (height / width))))
    square = np.zeros((side, side, 3), np.uint8)
    square[: size[1], : size[0]] = cv2.resize(picture, size)
    return square, size[1] / height


@lru_cache(maxsize=2 * len(_STRIDES_PX))
def _cells(side_px: int, stride_px: int) -> NDArray[np.float32]:
    """(N, 2) x y of the cell of every candidate, row by row."""
    steps = np.arange(0, side_px, stride_px, dtype=np.float32)
    cells = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return np.repeat(cells, _CANDIDATES, axis=0)


def _without_repeats(boxes: NDArray[np.float32]) -> list[int]:
    """The rows of `boxes` ((N, 4), best first) that no better box overlaps."""
    ends_included = boxes + np.array([0, 0, 1, 1], np.float32)  # InsightFace counts the last pixel as inside
    remaining = np.arange(len(boxes))
    kept = []
    while remaining.size:
        best, rest = int(remaining[0]), remaining[1:]
        kept.append(best)
        remaining = rest[overlap(ends_included[best], ends_included[rest]) <= _SAME_FACE_IOU]
    return kept
