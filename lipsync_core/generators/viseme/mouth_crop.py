"""Canonical crops of mouths: of one frame, by its own mesh points alone."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.face.landmarks import (
    CHEEKS,
    LOWER_INNER_LIP,
    LOWER_OUTER_LIP,
    MOUTH_CORNERS,
    UPPER_INNER_LIP,
    rows,
)
from lipsync_core.generators.viseme.canonical import (
    SIDE_PX,
    apply_transform,
    canonical_transforms,
    face_template,
    inverse_transform,
    scale_of,
)
from lipsync_core.generators.viseme.lips import LIP_PART
from lipsync_core.media.decode import SourceFrame
from lipsync_core.media.planes import Box, read_region

_MAX_LIP_SCALE = 4.0  # picture pixels a canonical pixel: enough for a face 560 px between the eyes
_CORNERS = rows(MOUTH_CORNERS)
_UPPER = rows(UPPER_INNER_LIP)
_LOWER = rows(LOWER_INNER_LIP)
_LIP_MIDDLES = (rows(LOWER_OUTER_LIP[3:8]), rows(LOWER_INNER_LIP[3:8]))
SKIN_POINTS = rows(CHEEKS[2:6])  # beside nose and mouth: lit like the mouth, and inside the moving part


@dataclass(frozen=True, slots=True, eq=False)
class MouthCrop:
    """A canonical crop of one frame and the mesh points in it."""

    pixels: NDArray[np.uint8]  # (256, 256, 3) RGB
    points: NDArray[np.float64]  # (K, 2) canonical pixels
    mouth_width_px: float

    @property
    def gap(self) -> float:
        """Height of the opening at its middle, in mouth widths."""
        middle = len(_UPPER) // 2
        opening = self.points[_LOWER[middle], 1] - self.points[_UPPER[middle], 1]
        return float(opening) / self.mouth_width_px

    def inner_mask(self) -> NDArray[np.uint8]:
        """(256, 256) 255 inside the inner lip contour."""
        outline = np.concatenate([self.points[_UPPER], self.points[_LOWER][-2:0:-1]])
        mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        return mask

    def tooth_share(self) -> float:
        """Share of bright, unsaturated pixels inside the lips, 0..1."""
        inside = self.pixels[self.inner_mask() > 127].astype(np.float32)  # (n, 3)
        if len(inside) < 30:
            return 0.0
        brightest, darkest = inside.max(1), inside.min(1)
        teeth = (darkest > 0.55 * float(self.skin_colour().mean())) & (brightest - darkest < 0.35 * brightest)
        return float(teeth.mean())

    def skin_colour(self) -> NDArray[np.float64]:
        """(3,) RGB of the lit skin: the brightest of the cheeks."""
        colour: NDArray[np.float64] = _colours(self.pixels, self.points[SKIN_POINTS]).max(0)
        return colour

    def brightness(self) -> float:
        """Mean value of the cheeks, 0..255, by which borrowed pixels are matched to a frame."""
        return float(_colours(self.pixels, self.points[SKIN_POINTS]).mean())

    def lip_colour(self) -> NDArray[np.float64]:
        """(3,) RGB of the middle of the lower lip."""
        outer, inner = _LIP_MIDDLES
        colour: NDArray[np.float64] = _colours(self.pixels, (self.points[outer] + self.points[inner]) / 2).mean(0)
        return colour


def _colours(pixels: NDArray[np.uint8], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P, 3) colours around points, each the mean of 9 x 9 pixels."""
    at = np.clip(np.round(points), 4, SIDE_PX - 5).astype(int)
    patches = [pixels[y - 4 : y + 5, x - 4 : x + 5].mean((0, 1)) for x, y in at]
    return np.array(patches, np.float64)


def crop_mouth(frame: SourceFrame, landmarks: NDArray[np.float32]) -> MouthCrop:
    """The canonical crop of a frame, from its own (K, 3) mesh points alone."""
    transform = _own_transform(landmarks)
    pixels = _cut(frame, transform, (SIDE_PX, SIDE_PX))
    width = float(scale_of(transform) * np.linalg.norm(landmarks[_CORNERS[0]] - landmarks[_CORNERS[1]]))
    return MouthCrop(pixels, apply_transform(transform, landmarks[:, :2]), width)


def crop_lips(frame: SourceFrame, landmarks: NDArray[np.float32]) -> tuple[NDArray[np.uint8], float]:
    """`LIP_PART` of a frame's canonical crop at about the frame's own resolution, and its pixels a canonical pixel."""
    transform = _own_transform(landmarks)
    scale = float(np.clip(1.0 / float(scale_of(transform)), 1.0, _MAX_LIP_SCALE))
    left, top, right, bottom = LIP_PART
    finer = scale * transform
    finer[:, 2] += 0.5 * scale - 0.5 - scale * np.array([left, top])
    return _cut(frame, finer, (round((right - left) * scale), round((bottom - top) * scale))), scale


def _own_transform(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2, 3) from a frame to the canonical crop, by its own mesh points."""
    own = landmarks[None]
    transform: NDArray[np.float64] = canonical_transforms(own, face_template(own))[0]
    return transform


def _cut(frame: SourceFrame, transform: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(height, width, 3) RGB of a frame, resampled by a transform from its pixels; `size` is (width, height)."""
    corners = np.array([[0, 0], [size[0], 0], [0, size[1]], [size[0], size[1]]], np.float64)
    outline = apply_transform(inverse_transform(transform), corners)
    low, high = np.floor(outline.min(0)).astype(int) - 1, np.ceil(outline.max(0)).astype(int) + 2
    box = Box(int(low[0]), int(low[1]), int(high[0]), int(high[1])).clipped(frame.picture.width, frame.picture.height)
    if box.is_empty:
        return np.zeros((size[1], size[0], 3), np.uint8)
    local = transform.copy()
    local[:, 2] += transform[:, :2] @ (box.x0, box.y0)
    is_shrinking = float(scale_of(transform)) < 0.7
    pixels = cv2.warpAffine(
        read_region(frame.picture, box),
        local,
        size,
        flags=cv2.INTER_AREA if is_shrinking else cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return pixels.astype(np.uint8, copy=False)
