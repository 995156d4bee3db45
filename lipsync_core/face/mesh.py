"""Fits the 468-point face mesh to a face whose position is roughly known.

The network (MediaPipe Face Mesh; Kartynnik et al. 2019, "Real-time facial surface geometry from
monocular video on mobile GPUs") takes an upright square of 192 px around the face, values 0..1, and
gives points in that square's pixels and a logit for "there is a face". The square is 1.5 times the
face's box, turned so that the outer eye corners lie level.
"""

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.cover import is_mouth_covered
from lipsync_core.face.detect import Detection
from lipsync_core.face.landmarks import OUTER_EYE_CORNERS
from lipsync_core.face.tflite import TfliteModel
from lipsync_core.media.planes import Box, read_region

MESH_POINTS = 468
_CROP_SCALE = 1.5
_MIN_SIDE_PX = 8.0
_MAX_LOGIT = 80.0  # keeps exp() finite


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FaceCrop:
    """A turned square in a picture."""

    centre: NDArray[np.float32]  # (2,) x y
    side_px: float
    roll_rad: float  # clockwise as seen, 0 for level eyes

    def to_picture(self, size_px: int) -> NDArray[np.float64]:
        """(2, 3) from positions in the crop, 0..size_px from edge to edge, to pixels of the picture."""
        scale = self.side_px / size_px
        cos, sin = np.cos(self.roll_rad) * scale, np.sin(self.roll_rad) * scale
        turn = np.array([[cos, -sin], [sin, cos]])
        offset = self.centre - turn @ np.full(2, size_px / 2)
        return np.concatenate([turn, offset[:, np.newaxis]], axis=1)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FaceMesh:
    """A fitted mesh."""

    points: NDArray[np.float32]  # (468, 3) x y in pixels of the picture, z in the same unit, smaller is nearer
    logit: float  # the network's own estimate that there is a face; unlike `presence`, it tells sure meshes apart
    is_covered: bool = False  # a mask seems to cover the mouth

    @property
    def presence(self) -> float:
        """0..1, the logit as a probability."""
        return float(1 / (1 + np.exp(-np.clip(self.logit, -_MAX_LOGIT, _MAX_LOGIT))))

    @property
    def box(self) -> NDArray[np.float32]:
        """(4,) x0 y0 x1 y1 around all points, forehead to chin."""
        flat = self.points[:, :2]
        return np.concatenate([flat.min(axis=0), flat.max(axis=0)])


class MeshFitter:
    """The mesh network and the preparation of its input.

    Raises:
        ModelError: the file is not a model that can be run.
    """

    def __init__(self, model: Path) -> None:
        self._model = TfliteModel(model)

    def fit(self, picture: av.VideoFrame, crop: FaceCrop) -> FaceMesh:
        """The mesh of the face in `crop`; its presence says whether there is one."""
        size = self._model.size_px
        to_picture = crop.to_picture(size)
        region = _region(to_picture, size).clipped(picture.width, picture.height)
        if region.is_empty:
            return FaceMesh(np.full((MESH_POINTS, 3), np.nan, np.float32), -np.inf)
        pixels = _straighten(read_region(picture, region), region, to_picture, size)
        points, estimate = self._model.run(pixels)[:2]  # (1, 1, 1, 1404), (1, 1, 1, 1)
        in_crop, logit = points.reshape(MESH_POINTS, 3), float(estimate.item())
        flat = in_crop[:, :2] @ to_picture[:, :2].T + to_picture[:, 2]
        is_covered = is_mouth_covered(pixels, in_crop[:, :2], logit)
        depth = in_crop[:, 2:] * (crop.side_px / size)
        return FaceMesh(np.concatenate([flat, depth], axis=1).astype(np.float32), logit, is_covered)


def crop_of_detection(face: Detection) -> FaceCrop:
    """The crop in which to fit the mesh of a detected face."""
    return FaceCrop(face.centre, max(face.size_px * _CROP_SCALE, _MIN_SIDE_PX), _roll(face.eyes[0], face.eyes[1]))


def crop_of_mesh(mesh: FaceMesh) -> FaceCrop:
    """The crop in which to fit the mesh of the same face in the next picture."""
    points = mesh.points[:, :2]
    roll = _roll(points[OUTER_EYE_CORNERS[0]], points[OUTER_EYE_CORNERS[1]])
    cos, sin = np.cos(roll), np.sin(roll)
    level = np.array([[cos, sin], [-sin, cos]], np.float32)
    turned = points @ level.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    centre = ((low + high) / 2) @ level
    return FaceCrop(centre, max(float((high - low).max()) * _CROP_SCALE, _MIN_SIDE_PX), roll)


def _roll(left_eye: NDArray[np.float32], right_eye: NDArray[np.float32]) -> float:
    across = right_eye - left_eye
    return float(np.arctan2(across[1], across[0]))


def _region(to_picture: NDArray[np.float64], size: int) -> Box:
    """The box of picture pixels that the crop touches, interpolation included."""
    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]]) @ to_picture.T  # (4, 2)
    x0, y0 = np.floor(corners.min(axis=0)).astype(int) - 1
    x1, y1 = np.ceil(corners.max(axis=0)).astype(int) + 2
    return Box(int(x0), int(y0), int(x1), int(y1)).even()


def _straighten(
    pixels: NDArray[np.uint8], region: Box, to_picture: NDArray[np.float64], size: int
) -> NDArray[np.float32]:
    """(size, size, 3) 0..1: the crop, resampled; black outside the picture."""
    matrix = to_picture.copy()
    matrix[:, 2] += matrix[:, :2] @ np.full(2, 0.5) - (region.x0, region.y0)  # pixel k of the crop is at k + 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    upright = cv2.warpAffine(pixels, matrix, (size, size), flags=flags)
    return np.divide(upright, 255, dtype=np.float32)
